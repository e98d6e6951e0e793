//! Ports and protocols.

use crate::scene::play;

#[test]
fn numbers_and_protocols() {
    play(
        "numbers and protocols",
        r"
        # a port is TCP's until another protocol is named; ICMP has none
        shop/tcp: {podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: 80}]}]}
        shop/udp: {podSelector: {matchLabels: {app: api}},
          ingress: [{ports: [{protocol: UDP, port: 53}]}]}
        shop/sctp: {podSelector: {matchLabels: {app: db}},
          ingress: [{ports: [{protocol: SCTP, port: 5000}, {protocol: TCP, port: 81}]}]}
        outside, data/web -> shop/web  tcp/80                           allowed
        outside, data/web -> shop/web  tcp/81 udp/80 sctp/80 icmp       denied
        outside, data/web -> shop/api  udp/53                           allowed
        outside, data/web -> shop/api  udp/54 tcp/53 sctp/53 icmp       denied
        outside, data/web -> shop/db   sctp/5000 tcp/81                 allowed
        outside, data/web -> shop/db   sctp/5001 tcp/5000 udp/5000      denied

        # a protocol without a port means all of its ports
        shop/udp: {podSelector: {}, ingress: [{ports: [{protocol: UDP}]}]}
        outside, data/web -> shop/web  udp/53 udp/54            allowed
        outside, data/web -> shop/web  tcp/80 sctp/5000 icmp    denied

        # a rule without ports means every protocol, ICMP with them
        shop/data: {podSelector: {},
          ingress: [{from: [{namespaceSelector: {matchLabels: {team: data}}}]}]}
        data/web -> shop/web  tcp/80 tcp/81 udp/53 sctp/5000 icmp  allowed
        bare/one -> shop/web  tcp/80 icmp                          denied
        ",
    );
}

#[test]
fn ranges() {
    play(
        "ranges",
        r"
        # a range means its ends and what is between
        shop/range: {podSelector: {matchLabels: {app: db}},
          ingress: [{ports: [{port: 79, endPort: 81}, {protocol: UDP, port: 53, endPort: 53}]}]}
        outside, shop/web -> shop/db  tcp/79 tcp/80 tcp/81 udp/53  allowed
        outside, shop/web -> shop/db  tcp/78 tcp/82 udp/54 udp/80  denied

        # ranges add up across rules and policies, also where they overlap
        shop/one: {podSelector: {matchLabels: {app: db}},
          ingress: [{ports: [{port: 1, endPort: 80}]}, {ports: [{port: 60, endPort: 81}]}]}
        shop/two: {podSelector: {matchLabels: {tier: back}},
          ingress: [{ports: [{port: 8080, endPort: 65535}]}]}
        outside -> shop/db   tcp/1 tcp/79 tcp/81 tcp/8080 tcp/65535  allowed
        outside -> shop/db   tcp/82 tcp/8079                         denied
        outside -> shop/api  tcp/8080                                allowed
        outside -> shop/api  tcp/80                                  denied
        ",
    );
}

#[test]
fn names() {
    play(
        "names",
        r"
        # a named port is looked up at the destination, with its protocol
        shop/named: {podSelector: {},
          ingress: [{ports: [{port: http}, {protocol: UDP, port: dns},
            {protocol: TCP, port: dns}]}]}
        outside, data/web -> shop/web  tcp/80 udp/53          allowed
        outside, data/web -> shop/web  tcp/8080 tcp/53        denied
        outside, data/web -> shop/api  tcp/8080               allowed
        outside, data/web -> shop/api  tcp/80 udp/53 udp/8080 denied
        outside, data/web -> shop/db   tcp/80 tcp/8080        denied

        # egress looks a name up at the peer, and a block has no names
        data/named: {podSelector: {matchLabels: {app: job}}, policyTypes: [Egress],
          egress: [{to: [{namespaceSelector: {}}], ports: [{port: http}]},
            {to: [{ipBlock: {cidr: 192.0.2.0/24}}], ports: [{port: http}]}]}
        data/job -> shop/web  tcp/80           allowed
        data/job -> shop/web  tcp/8080         denied
        data/job -> shop/api  tcp/8080         allowed
        data/job -> shop/api  tcp/80           denied
        data/job -> shop/db   tcp/80           denied
        data/job -> outside   tcp/80 tcp/8080  denied
        ",
    );
}
