//! Whom a policy selects.

use crate::scene::play;

#[test]
fn labels_select() {
    play(
        "labels select",
        r"
        # where no policy selects, everything is open
        shop/web, outside, alpha -> shop/db, bare/one  tcp/80 udp/53 sctp/5000 icmp  allowed
        shop/db, bare/one -> outside                   tcp/80 udp/53 icmp            allowed

        # an empty selector selects every container of its namespace, and no other
        shop/all: {podSelector: {}}
        data/web, outside -> shop/web, shop/api, shop/db  tcp/80 udp/53 sctp/5000 icmp  denied
        shop/web -> shop/db                               tcp/80                        denied
        shop/web, outside -> data/web, bare/one           tcp/80 udp/53                 allowed

        # a label selects
        shop/db: {podSelector: {matchLabels: {app: db}}}
        data/web, shop/web -> shop/db   tcp/80  denied
        data/web, shop/db  -> shop/web  tcp/80  allowed

        # every label must match
        shop/none: {podSelector: {matchLabels: {app: db, tier: front}}}
        shop/one: {podSelector: {matchLabels: {app: api, tier: back}}}
        data/web -> shop/db, shop/web  tcp/80  allowed
        data/web -> shop/api           tcp/80  denied
        ",
    );
}

#[test]
fn expressions_select() {
    play(
        "expressions select",
        r"
        # In: the label has one of the values
        shop/in: {podSelector: {matchExpressions: [{key: app, operator: In, values: [db, api]}]}}
        data/web -> shop/db, shop/api  tcp/80  denied
        data/web -> shop/web           tcp/80  allowed

        # NotIn: the label has another value, or is not there
        shop/not-in: {podSelector: {matchExpressions: [{key: tier, operator: NotIn, values:
          [front]}]}}
        bare/not-in: {podSelector: {matchExpressions: [{key: tier, operator: NotIn, values:
          [front]}]}}
        data/web -> shop/db, shop/api, bare/one  tcp/80  denied
        data/web -> shop/web                     tcp/80  allowed

        # Exists and DoesNotExist: the label is there with any value, or is not
        shop/exists: {podSelector: {matchExpressions: [{key: tier, operator: Exists}]}}
        data/not: {podSelector: {matchExpressions: [{key: app, operator: DoesNotExist}]}}
        bare/not: {podSelector: {matchExpressions: [{key: app, operator: DoesNotExist}]}}
        outside -> shop/web, shop/db, bare/one  tcp/80  denied
        outside -> data/web, data/job           tcp/80  allowed

        # labels and expressions must all match
        shop/both: {podSelector: {matchLabels: {tier: back},
          matchExpressions: [{key: app, operator: NotIn, values: [db]},
            {key: app, operator: Exists}]}}
        data/web -> shop/api           tcp/80  denied
        data/web -> shop/db, shop/web  tcp/80  allowed
        ",
    );
}
