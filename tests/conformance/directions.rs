//! Directions: what one side's policies say of a flow, what both must say, and what comes back.

use crate::scene::play;

#[test]
fn both_ends_must_agree() {
    play(
        "both ends",
        r"
        # egress alone isolates what a container sends, not what it is sent
        shop/web: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress],
          egress: [{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 80}]}]}
        shop/web            -> shop/db            tcp/80               allowed
        shop/web            -> shop/db            tcp/81 udp/80 icmp   denied
        shop/web            -> shop/api, outside  tcp/80 udp/53 icmp   denied
        outside, shop/api   -> shop/web           tcp/80 udp/53 icmp   allowed

        # a flow needs its sender's egress and its receiver's ingress
        shop/web: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress],
          egress: [{to: [{podSelector: {}}], ports: [{port: 80}, {port: 81}]}]}
        shop/db: {podSelector: {matchLabels: {app: db}},
          ingress: [{from: [{podSelector: {}}], ports: [{port: 81}, {port: 82}]}]}
        shop/api: {podSelector: {matchLabels: {app: api}}, ingress: []}
        shop/web -> shop/db   tcp/81         allowed
        shop/web -> shop/db   tcp/80 tcp/82  denied
        shop/api -> shop/db   tcp/82         allowed
        shop/api -> shop/db   tcp/80         denied
        shop/web -> shop/api  tcp/80         denied
        shop/web -> data/web  tcp/80         denied

        # policies of one container add up, and say nothing of another
        shop/none: {podSelector: {}, policyTypes: [Ingress, Egress]}
        shop/one: {podSelector: {matchLabels: {app: db}},
          ingress: [{from: [{namespaceSelector: {}}], ports: [{port: 80}]}]}
        shop/two: {podSelector: {matchLabels: {tier: back}},
          ingress: [{from: [{podSelector: {}}], ports: [{port: 81}]}]}
        shop/three: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]}
        shop/web -> shop/db             tcp/80 tcp/81  allowed
        shop/web -> shop/api            tcp/81         allowed
        shop/web -> shop/api            tcp/80         denied
        data/web -> shop/db             tcp/80         allowed
        data/web -> shop/db             tcp/81         denied
        shop/db  -> shop/web, data/web  tcp/80         denied
        ",
    );
}

#[test]
fn replies_follow_their_connection() {
    play(
        "replies",
        r"
        # who may be sent nothing still gets answers, and who may send nothing still answers
        shop/deaf: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}
        shop/dumb: {podSelector: {matchLabels: {app: db}}, policyTypes: [Egress]}
        shop/web               -> shop/db, data/web, outside  tcp/80 udp/53 sctp/5000 icmp  allowed
        outside, data/web      -> shop/db                     tcp/80 udp/53 sctp/5000 icmp  allowed
        shop/db, data/web      -> shop/web                    tcp/80 udp/53 sctp/5000 icmp  denied
        shop/db                -> data/web, outside           tcp/80 udp/53 sctp/5000 icmp  denied
        ",
    );
}

#[test]
fn itself_and_its_own_host() {
    play(
        "itself and its host",
        r"
        # a container always reaches itself, and it and its host each other
        shop/none: {podSelector: {}, policyTypes: [Ingress, Egress]}
        bare/none: {podSelector: {}, policyTypes: [Ingress, Egress]}
        shop/web           -> shop/web            tcp/80 udp/53 icmp            allowed
        alpha              -> shop/web, bare/one  tcp/80 udp/53 sctp/5000 icmp  allowed
        shop/web, bare/one -> alpha               tcp/80 udp/53 sctp/5000 icmp  allowed
        shop/web, bare/one -> outside, data/web   tcp/80                        denied
        outside, data/web  -> shop/web, bare/one  tcp/80                        denied
        ",
    );
}
