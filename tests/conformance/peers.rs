//! Whom a rule names.

use crate::scene::play;

#[test]
fn pods_and_namespaces() {
    play(
        "pods and namespaces",
        r"
        # a podSelector alone means the policy's own namespace
        shop/db: {podSelector: {matchLabels: {app: db}},
          ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}
        shop/web -> shop/db                               tcp/80 udp/53 icmp  allowed
        data/web, shop/api, bare/one, outside -> shop/db  tcp/80              denied

        # a namespaceSelector alone means every container of these namespaces
        shop/db: {podSelector: {matchLabels: {app: db}},
          ingress: [{from: [{namespaceSelector: {matchLabels: {team: data}}}]}]}
        data/web, data/job -> shop/db                     tcp/80 udp/53  allowed
        shop/web, shop/api, bare/one, outside -> shop/db  tcp/80         denied

        # both in one peer must match
        shop/db: {podSelector: {matchLabels: {app: db}},
          ingress: [{from: [{namespaceSelector: {matchLabels: {team: data}},
            podSelector: {matchLabels: {app: web}}}]}]}
        data/web -> shop/db            tcp/80  allowed
        data/job, shop/web -> shop/db  tcp/80  denied

        # two peers add up
        shop/db: {podSelector: {matchLabels: {app: db}},
          ingress: [{from: [{namespaceSelector: {matchLabels: {team: data}}},
            {podSelector: {matchLabels: {app: web}}}]}]}
        data/web, data/job, shop/web -> shop/db  tcp/80  allowed
        shop/api, bare/one, outside -> shop/db   tcp/80  denied
        ",
    );
}

#[test]
fn every_and_none() {
    play(
        "every and none",
        r"
        # an empty namespaceSelector means every container, and nobody else
        shop/db: {podSelector: {matchLabels: {app: db}},
          ingress: [{from: [{namespaceSelector: {}}]}]}
        shop/web, data/job, bare/one -> shop/db  tcp/80 icmp  allowed
        outside -> shop/db                       tcp/80 icmp  denied

        # an empty podSelector means every container of the policy's namespace
        shop/db: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {}}]}]}
        shop/web, shop/api -> shop/db           tcp/80  allowed
        data/web, bare/one, outside -> shop/db  tcp/80  denied

        # a selector that nobody matches means nobody
        shop/db: {podSelector: {matchLabels: {app: db}},
          ingress: [{from: [{podSelector: {matchLabels: {app: nobody}}},
            {namespaceSelector: {matchLabels: {team: nobody}}}]}]}
        shop/web, data/web, bare/one, outside -> shop/db  tcp/80  denied
        ",
    );
}

#[test]
fn namespaces_by_name() {
    play(
        "namespaces by name",
        r"
        # each namespace has its name as a label, declared or not
        shop/db: {podSelector: {matchLabels: {app: db}},
          ingress: [{from: [{namespaceSelector:
            {matchLabels: {kubernetes.io/metadata.name: bare}}}]}]}
        shop/api: {podSelector: {matchLabels: {app: api}},
          ingress: [{from: [{namespaceSelector: {matchExpressions:
            [{key: kubernetes.io/metadata.name, operator: In, values: [data, shop]}]}}]}]}
        bare/one           -> shop/db   tcp/80  allowed
        data/web, shop/web -> shop/db   tcp/80  denied
        data/web, shop/web -> shop/api  tcp/80  allowed
        bare/one           -> shop/api  tcp/80  denied

        # an undeclared namespace has no other label
        shop/db: {podSelector: {matchLabels: {app: db}},
          ingress: [{from: [{namespaceSelector:
            {matchExpressions: [{key: team, operator: DoesNotExist}]}}]}]}
        bare/one           -> shop/db  tcp/80  allowed
        data/web, shop/web -> shop/db  tcp/80  denied

        # a namespace's labels are not its containers', nor the other way round
        shop/db: {podSelector: {matchLabels: {app: db}},
          ingress: [{from: [{podSelector: {matchLabels: {team: shop}}},
            {namespaceSelector: {matchLabels: {app: web}}}]}]}
        shop/web, data/web -> shop/db  tcp/80  denied
        ",
    );
}
