//! Address blocks.

use crate::scene::play;

#[test]
fn blocks_and_holes() {
    play(
        "blocks and holes",
        r"
        # a block means the addresses of its family
        shop/four: {podSelector: {matchLabels: {app: web}},
          ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24}}]}]}
        shop/six: {podSelector: {matchLabels: {app: api}},
          ingress: [{from: [{ipBlock: {cidr: '2001:db8::/64'}}]}]}
        shop/all-four: {podSelector: {matchLabels: {app: db}},
          ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}
        outside           -> shop/web  tcp/80 udp/53 icmp  allowed v4
        outside           -> shop/web  tcp/80              denied v6
        outside           -> shop/api  tcp/80 udp/53 icmp  allowed v6
        outside           -> shop/api  tcp/80              denied v4
        outside, data/web -> shop/db   tcp/80              allowed v4
        outside, data/web -> shop/db   tcp/80              denied v6
        data/web          -> shop/web  tcp/80              denied

        # a hole is not in its block, but another rule may still allow it
        shop/hole: {podSelector: {matchLabels: {app: web}},
          ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.64/26]}},
            {ipBlock: {cidr: '2001:db8::/64', except: ['2001:db8::100/128']}}]}]}
        shop/beside: {podSelector: {matchLabels: {app: api}},
          ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.0/25]}},
            {ipBlock: {cidr: 192.0.2.96/27}}]}]}
        shop/nested: {podSelector: {matchLabels: {app: db}},
          ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.44.0.0/16]}},
            {ipBlock: {cidr: 10.44.1.0/24, except: [10.44.1.2/32]}},
            {ipBlock: {cidr: '::/0', except: ['fd44::100/120', 'fd44::1/128']}}]}]}
        outside            -> shop/web  tcp/80  denied
        outside            -> shop/api  tcp/80  allowed v4
        outside, data/web  -> shop/db   tcp/80  allowed v4
        data/job, shop/web -> shop/db   tcp/80  denied v4
        outside, bare/one  -> shop/db   tcp/80  allowed v6
        data/job, shop/web -> shop/db   tcp/80  denied v6

        # a block means a container's address, too, and a whole hole nothing
        shop/web: {podSelector: {matchLabels: {app: web}},
          ingress: [{from: [{ipBlock: {cidr: 10.44.1.0/24}},
            {ipBlock: {cidr: 'fd44::100/120'}}]}]}
        shop/api: {podSelector: {matchLabels: {app: api}},
          ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24,
            except: [192.0.2.0/25, 192.0.2.128/25]}}]}]}
        data/web, data/job          -> shop/web  tcp/80 icmp  allowed
        shop/db, bare/one, outside  -> shop/web  tcp/80       denied
        outside                     -> shop/api  tcp/80       denied

        # egress has blocks as well
        shop/out: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress],
          egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24}}, {ipBlock: {cidr: 'fd44::3/128'}}]}]}
        shop/web -> outside   tcp/80 udp/53 icmp  allowed v4
        shop/web -> outside   tcp/80 udp/53       denied v6
        shop/web -> shop/db   tcp/80              allowed v6
        shop/web -> shop/db   tcp/80              denied v4
        shop/web -> shop/api  tcp/80              denied
        ",
    );
}
