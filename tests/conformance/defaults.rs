//! Empty, absent and `null`: which of them means everything, and which nothing.

use crate::scene::play;

#[test]
fn rules_and_peers() {
    play(
        "rules and peers",
        r"
        # no rule allows nothing, a rule of nothing allows everything
        shop/a: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}
        shop/b: {podSelector: {matchLabels: {app: api}}, ingress: []}
        shop/c: {podSelector: {matchLabels: {app: db}}, ingress: null}
        data/d: {podSelector: {matchLabels: {app: web}}, ingress: [{}]}
        data/e: {podSelector: {matchLabels: {app: job}}, ingress: [{from: []}]}
        bare/f: {podSelector: null, ingress: [{from: null, ports: null}]}
        outside -> shop/web, shop/api, shop/db   tcp/80 udp/53 icmp  denied
        outside -> data/web, data/job, bare/one  tcp/80 udp/53 icmp  allowed

        # a peer of nothing but an empty selector names everybody it can
        shop/a: {podSelector: {matchLabels: {app: web}},
          ingress: [{from: [{podSelector: {matchLabels: null, matchExpressions: null}}]}]}
        shop/b: {podSelector: {matchLabels: {app: api}},
          ingress: [{from: [{podSelector: null, namespaceSelector: {}}]}]}
        shop/c: {podSelector: {matchLabels: {app: db}},
          ingress: [{from: [{podSelector: {}, namespaceSelector: null}], ports: []}]}
        shop/db, shop/api           -> shop/web  tcp/80       allowed
        data/web, outside           -> shop/web  tcp/80       denied
        shop/db, data/web, bare/one -> shop/api  tcp/80 icmp  allowed
        outside                     -> shop/api  tcp/80       denied
        shop/web                    -> shop/db   tcp/80 icmp  allowed
        data/web                    -> shop/db   tcp/80       denied

        # an empty except and a null protocol are absent
        shop/a: {podSelector: {matchLabels: {app: web}},
          ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24, except: []}}]}]}
        shop/b: {podSelector: {matchLabels: {app: api}},
          ingress: [{ports: [{port: 80, protocol: null, endPort: null}]}]}
        outside -> shop/web  tcp/80         allowed v4
        outside -> shop/web  tcp/80         denied v6
        outside -> shop/api  tcp/80         allowed
        outside -> shop/api  tcp/81 udp/80  denied
        ",
    );
}

#[test]
fn policy_types() {
    play(
        "policy types",
        r"
        # types that are not said are ingress, and egress where it has a rule
        shop/a: {podSelector: {matchLabels: {app: web}}}
        shop/b: {podSelector: {matchLabels: {app: api}},
          egress: [{to: [{podSelector: {matchLabels: {app: nobody}}}]}]}
        shop/c: {podSelector: {matchLabels: {app: db}}, egress: []}
        data/d: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress],
          ingress: [{from: [{podSelector: {matchLabels: {app: nobody}}}]}]}
        data/e: {podSelector: {matchLabels: {app: job}}, policyTypes: [Ingress, Egress]}
        bare/f: {podSelector: {}, policyTypes: [], ingress: [{}]}
        outside -> shop/web, shop/api, shop/db, data/job  tcp/80 udp/53  denied
        outside -> data/web, bare/one                     tcp/80 udp/53  allowed
        shop/web, shop/db, bare/one   -> outside          tcp/80 udp/53  allowed
        shop/api, data/web, data/job  -> outside          tcp/80 udp/53  denied
        ",
    );
}
