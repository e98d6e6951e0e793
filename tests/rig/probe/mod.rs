//! Who can reach whom: asked by real sockets, compared with what was expected.
//!
//! A [`Cast`] is a number of parties (a container, a host, somebody outside), each in a namespace,
//! with its addresses and with services that echo. What is expected of it is written as lines:
//!
//! ```text
//! shop/web, shop/api -> shop/db   tcp/5432 udp/53   allowed
//! shop/web -> shop/db             icmp              denied
//! outside -> shop/web             tcp/80            allowed v6
//! ```
//!
//! A line means each of its senders, receivers and ports, in each family that both sides have (or
//! the one it names). All of them are asked at once: one thread for each sender, few at a time.

mod line;
mod matrix;

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

pub use line::ports_in;
pub use matrix::Matrix;

use line::lines_in;

use crate::netns::Netns;
use crate::traffic::{Attempt, Listen, Outcome, Protocol, SILENCE, Service, attempt_all};

/// How long an answer that is expected may take: a SYN that was lost is repeated within it, twice.
const ANSWER: Duration = Duration::from_secs(5);

/// Senders that ask at the same time.
const THREADS_MAX: usize = 4;

/// Parties that can reach each other or not.
#[derive(Debug, Default)]
pub struct Cast {
    parties: BTreeMap<String, Party>,
}

#[derive(Debug)]
struct Party {
    net: Netns,
    addresses: Vec<IpAddr>,
    ports: Vec<(Protocol, u16)>,
    service: Service,
}

/// One question: can this one reach that one so?
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// Who asks.
    pub from: String,
    /// Who is asked for.
    pub to: String,
    /// How.
    pub protocol: Protocol,
    /// At which port; 0 of ICMP.
    pub port: u16,
    /// Over IPv6, or IPv4.
    pub v6: bool,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            from,
            to,
            protocol,
            port,
            v6,
        } = self;
        let family = if *v6 { "v6" } else { "v4" };
        match protocol {
            Protocol::Icmp => write!(f, "{from} -> {to} icmp {family}"),
            _ => write!(f, "{from} -> {to} {protocol}/{port} {family}"),
        }
    }
}

impl Cast {
    /// Nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a party, which listens at these ports on each of its addresses.
    ///
    /// # Panics
    /// Where a port is taken or an address is not the namespace's.
    #[track_caller]
    pub fn add(
        &mut self,
        name: &str,
        net: &Netns,
        addresses: &[IpAddr],
        ports: &[(Protocol, u16)],
    ) {
        let on_each = |&(protocol, port): &(Protocol, u16)| {
            addresses
                .iter()
                .map(move |&address| Listen::on(protocol, address, port))
        };
        let listens: Vec<Listen> = ports.iter().flat_map(on_each).collect();
        let party = Party {
            net: net.clone(),
            addresses: addresses.to_vec(),
            ports: ports.to_vec(),
            service: Service::start(net, &listens),
        };
        self.parties.insert(name.to_owned(), party);
    }

    /// Ends the service of a party and forgets it.
    pub fn remove(&mut self, name: &str) {
        self.parties.remove(name);
    }

    /// The namespace of a party.
    ///
    /// # Panics
    /// Where it has no part.
    #[track_caller]
    pub fn net(&self, name: &str) -> &Netns {
        &self.party(name).net
    }

    /// The address of a party in a family.
    ///
    /// # Panics
    /// Where it has no part, or no such address.
    #[track_caller]
    pub fn address(&self, name: &str, v6: bool) -> IpAddr {
        let found = self.party(name).address(v6);
        found.unwrap_or_else(|| panic!("{name} has no address in this family"))
    }

    /// How many connections, datagrams or INITs have reached a party's port.
    ///
    /// # Panics
    /// Where it has no part.
    #[track_caller]
    pub fn served(&self, name: &str, protocol: Protocol, port: u16) -> u64 {
        self.party(name).service.served(protocol, port)
    }

    #[track_caller]
    fn party(&self, name: &str) -> &Party {
        let found = self.parties.get(name);
        found.unwrap_or_else(|| panic!("{name} has no part: {:?}", self.parties.keys()))
    }

    /// Asks what the lines (see the module) expect; gives how many questions met silence, as
    /// expected.
    ///
    /// # Panics
    /// Where anything is not as expected, with every difference and the matrix that was found;
    /// where a line cannot be read.
    #[track_caller]
    pub fn expect(&self, lines: &str) -> usize {
        let expected = self.read(lines);
        let limited = expected
            .iter()
            .map(|(question, allowed)| (question.clone(), if *allowed { ANSWER } else { SILENCE }));
        let found = self.ask(&limited.collect::<Vec<_>>());
        let is_expected = |question: &Question| match found[question] {
            Outcome::Echoed => expected[question],
            Outcome::TimedOut => !expected[question],
            _ => false,
        };
        let mut differences = String::new();
        for question in expected.keys().filter(|question| !is_expected(question)) {
            let wanted = if expected[question] {
                "allowed"
            } else {
                "denied"
            };
            let line = format!("  {question}: wanted {wanted}, found {}", found[question]);
            writeln!(differences, "{line}").expect("a string can be written to");
        }
        let matrix = Matrix { found };
        assert!(
            differences.is_empty(),
            "not as expected:\n{differences}all that was asked:\n{matrix}"
        );
        expected.values().filter(|allowed| !**allowed).count()
    }

    /// Asks of each ordered pair of parties whether the one reaches the ports at which the other
    /// listens, in both families.
    pub fn matrix(&self) -> Matrix {
        let mut questions = Vec::new();
        for (from, to) in self.pairs() {
            for port in &self.party(to).ports {
                questions.extend(self.questions(from, to, *port, None));
            }
        }
        let limited = questions.into_iter().map(|question| (question, SILENCE));
        Matrix {
            found: self.ask(&limited.collect::<Vec<_>>()),
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (&String, &String)> {
        let names = self.parties.keys();
        let pairs = names.flat_map(|from| self.parties.keys().map(move |to| (from, to)));
        pairs.filter(|(from, to)| from != to)
    }

    /// The questions of one pair and port, in the families that both sides have.
    fn questions(
        &self,
        from: &str,
        to: &str,
        (protocol, port): (Protocol, u16),
        only_v6: Option<bool>,
    ) -> Vec<Question> {
        let families = [false, true]
            .into_iter()
            .filter(|v6| only_v6.is_none_or(|only| only == *v6));
        let both = families.filter(|&v6| {
            self.party(from).address(v6).is_some() && self.party(to).address(v6).is_some()
        });
        let question = |v6| Question {
            from: from.to_owned(),
            to: to.to_owned(),
            protocol,
            port,
            v6,
        };
        both.map(question).collect()
    }

    /// Asks each question, for so long.
    fn ask(&self, questions: &[(Question, Duration)]) -> BTreeMap<Question, Outcome> {
        let mut by_sender: BTreeMap<&str, Vec<&(Question, Duration)>> = BTreeMap::new();
        for asked in questions {
            by_sender.entry(&asked.0.from).or_default().push(asked);
        }
        let senders: Vec<_> = by_sender.into_iter().collect();
        let mut found = BTreeMap::new();
        for some in senders.chunks(THREADS_MAX) {
            thread::scope(|scope| {
                let asking: Vec<_> = some
                    .iter()
                    .map(|(from, asked)| scope.spawn(move || self.ask_from(from, asked)))
                    .collect();
                for asking in asking {
                    let answers = asking.join();
                    found.extend(answers.unwrap_or_else(|e| std::panic::resume_unwind(e)));
                }
            });
        }
        found
    }

    fn ask_from(&self, from: &str, asked: &[&(Question, Duration)]) -> Vec<(Question, Outcome)> {
        let attempts = asked.iter().map(|(question, limit)| {
            let to = self.address(&question.to, question.v6);
            Attempt::new(question.protocol, to, question.port).limit(*limit)
        });
        let outcomes = attempt_all(self.net(from), &attempts.collect::<Vec<_>>());
        asked
            .iter()
            .map(|(question, _)| question.clone())
            .zip(outcomes)
            .collect()
    }

    /// Reads lines of expectation.
    #[track_caller]
    fn read(&self, lines: &str) -> BTreeMap<Question, bool> {
        let mut expected = BTreeMap::new();
        for line in lines_in(lines) {
            let mut count = 0;
            for (from, to, port) in line.each() {
                for question in self.questions(from, to, port, line.only_v6) {
                    let before = expected.insert(question, line.allowed);
                    let contrary = before.is_some_and(|allowed| allowed != line.allowed);
                    assert!(!contrary, "expected and not expected: {}", line.text);
                    count += 1;
                }
            }
            assert!(count > 0, "asks nothing: {}", line.text);
        }
        expected
    }
}

impl Party {
    fn address(&self, v6: bool) -> Option<IpAddr> {
        self.addresses
            .iter()
            .copied()
            .find(|address| address.is_ipv6() == v6)
    }
}
