//! Probes between two namespaces: what is found is what was expected, or the test fails and shows
//! it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rig::probe::Cast;
use rig::traffic::Protocol;

use crate::pair::{LEFT, Pair, RIGHT, addresses};

const PORTS: [(Protocol, u16); 3] = [
    (Protocol::Tcp, 80),
    (Protocol::Udp, 53),
    (Protocol::Sctp, 5000),
];

fn cast(pair: &Pair) -> Cast {
    let mut cast = Cast::new();
    cast.add("left", &pair.left, &addresses(LEFT), &PORTS);
    cast.add("right", &pair.right, &addresses(RIGHT), &PORTS);
    cast
}

#[test]
fn expectations_that_hold_pass() {
    let pair = Pair::new();
    let cast = cast(&pair);
    let silent = cast.expect(
        "left -> right  tcp/80 udp/53 sctp/5000 icmp  allowed
         right -> left  tcp/80                        allowed v6",
    );
    assert_eq!(silent, 0);
    assert_eq!(cast.served("left", Protocol::Tcp, 80), 1);
}

#[test]
fn silence_is_a_denial_and_a_closed_port_is_not() {
    let pair = Pair::new();
    let cast = cast(&pair);
    let found = catch_unwind(AssertUnwindSafe(|| {
        cast.expect("left -> right tcp/81 denied")
    }));
    let message = *found.unwrap_err().downcast::<String>().unwrap();
    assert!(
        message.contains("left -> right tcp/81 v4: wanted denied, found refused"),
        "{message}"
    );

    for [to, family] in [[RIGHT[0], "v4"], [RIGHT[1], "v6"]] {
        let nowhere = "lladdr 02:00:00:00:00:99 dev eth0 nud permanent";
        pair.left.ip(&format!("neighbour replace {to} {nowhere}"));
        assert_eq!(
            cast.expect(&format!("left -> right tcp/80 icmp denied {family}")),
            2
        );
    }
    let found = catch_unwind(AssertUnwindSafe(|| {
        cast.expect("left -> right udp/53 allowed")
    }));
    let message = *found.unwrap_err().downcast::<String>().unwrap();
    assert!(
        message.contains("left -> right udp/53 v6: wanted allowed, found silence"),
        "{message}"
    );
}

#[test]
fn a_matrix_asks_each_pair() {
    let pair = Pair::new();
    let matrix = cast(&pair).matrix();
    assert_eq!(matrix.allowed().len(), 2 * 2 * PORTS.len());
    assert!(
        matrix.allowed().values().all(|allowed| *allowed),
        "{matrix}"
    );
}
