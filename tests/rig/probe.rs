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
//! A line means each of its senders, receivers and ports, in each family that both sides have (or the
//! one it names). All of them are asked at once: one thread for each sender, few at a time.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

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
    services: Vec<Service>,
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
        let services = vec![Service::start(net, &listens)];
        let (net, addresses) = (net.clone(), addresses.to_vec());
        self.parties.insert(
            name.to_owned(),
            Party {
                net,
                addresses,
                services,
            },
        );
    }

    /// Ends the services of a party and forgets it.
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
        let services = self.party(name).services.iter();
        services.map(|service| service.served(protocol, port)).sum()
    }

    #[track_caller]
    fn party(&self, name: &str) -> &Party {
        let found = self.parties.get(name);
        found.unwrap_or_else(|| panic!("{name} has no part: {:?}", self.parties.keys()))
    }

    /// Asks what the lines (see the module) expect; gives how many questions met silence, as expected.
    ///
    /// # Panics
    /// Where anything is not as expected, with every difference and the matrix that was found; where a
    /// line cannot be read.
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

    /// Asks of each ordered pair of parties whether these ports can be reached, in both families.
    pub fn matrix(&self, ports: &[(Protocol, u16)]) -> Matrix {
        let mut questions = Vec::new();
        for (from, to) in self.pairs() {
            for &(protocol, port) in ports {
                questions.extend(self.questions(from, to, (protocol, port), None));
            }
        }
        let limited: Vec<_> = questions
            .into_iter()
            .map(|question| (question, SILENCE))
            .collect();
        Matrix {
            found: self.ask(&limited),
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
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let read = Line::read(line).unwrap_or_else(|| panic!("no expectation: {line:?}"));
            let mut count = 0;
            for (from, to, port) in read.each() {
                for question in self.questions(from, to, port, read.only_v6) {
                    let twice = expected
                        .insert(question, read.allowed)
                        .is_some_and(|a| a != read.allowed);
                    assert!(!twice, "expected and not expected: {line:?}");
                    count += 1;
                }
            }
            assert!(count > 0, "asks nothing: {line:?}");
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

/// One line of expectation.
struct Line<'a> {
    from: Vec<&'a str>,
    to: Vec<&'a str>,
    ports: Vec<(Protocol, u16)>,
    allowed: bool,
    only_v6: Option<bool>,
}

impl<'a> Line<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (from, rest) = line.split_once("->")?;
        let mut words: Vec<&str> = rest.split_whitespace().collect();
        let only_v6 = match *words.last()? {
            "v4" => Some(false),
            "v6" => Some(true),
            _ => None,
        };
        words.truncate(words.len() - usize::from(only_v6.is_some()));
        let allowed = match words.pop()? {
            "allowed" => true,
            "denied" => false,
            _ => return None,
        };
        // Names end with the last comma's: "a, b tcp/80".
        let is_port = |word: &&str| port_of(word).is_some();
        let first_port = words.iter().position(is_port)?;
        let (to, ports) = words.split_at(first_port);
        let ports: Option<Vec<_>> = ports.iter().map(|word| port_of(word)).collect();
        let to = to.iter().map(|name| name.trim_end_matches(','));
        let from = from.split(',').map(str::trim).collect();
        Some(Self {
            from,
            to: to.collect(),
            ports: ports?,
            allowed,
            only_v6,
        })
    }

    fn each(&self) -> impl Iterator<Item = (&'a str, &'a str, (Protocol, u16))> {
        let pairs = self
            .from
            .iter()
            .flat_map(|from| self.to.iter().map(move |to| (*from, *to)));
        pairs.flat_map(|(from, to)| self.ports.iter().map(move |port| (from, to, *port)))
    }
}

fn port_of(word: &str) -> Option<(Protocol, u16)> {
    let (protocol, port) = word.split_once('/').unwrap_or((word, "0"));
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        "icmp" => Protocol::Icmp,
        _ => return None,
    };
    Some((protocol, port.parse().ok()?))
}

/// What was found, and a small table of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    found: BTreeMap<Question, Outcome>,
}

impl Matrix {
    /// Whether each question was answered or met silence; what was neither is not told apart.
    pub fn allowed(&self) -> BTreeMap<Question, bool> {
        let answers = self.found.iter();
        answers
            .map(|(question, outcome)| (question.clone(), *outcome == Outcome::Echoed))
            .collect()
    }

    /// What one cell shows: `yes` where everything was reached, `-` where nothing was, else what was.
    fn cell(&self, from: &str, to: &str) -> String {
        let of_pair = self
            .found
            .iter()
            .filter(|(q, _)| q.from == from && q.to == to);
        let of_pair: Vec<_> = of_pair.collect();
        let reached = of_pair
            .iter()
            .filter(|(_, outcome)| **outcome == Outcome::Echoed);
        let reached: Vec<&Question> = reached.map(|(question, _)| *question).collect();
        match reached.len() {
            _ if of_pair.is_empty() => String::new(),
            0 => "-".to_owned(),
            all if all == of_pair.len() => "yes".to_owned(),
            _ => {
                let short = |question: &&Question| {
                    let text = question.to_string();
                    text.rsplitn(3, ' ').take(2).collect::<Vec<_>>().join(":")
                };
                reached.iter().map(short).collect::<Vec<_>>().join(",")
            }
        }
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<&str> = self.found.keys().flat_map(|q| [&*q.from, &*q.to]).collect();
        names.sort_unstable();
        names.dedup();
        let mut rows = vec![
            [&["from \\ to"], &names[..]]
                .concat()
                .into_iter()
                .map(str::to_owned)
                .collect(),
        ];
        for from in &names {
            let cells = names.iter().map(|to| self.cell(from, to));
            rows.push(
                [(*from).to_owned()]
                    .into_iter()
                    .chain(cells)
                    .collect::<Vec<_>>(),
            );
        }
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..=names.len()).map(width).collect();
        for row in &rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                write!(line, "{cell:width$}  ")?;
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(from: &str, to: &str, port: u16, v6: bool) -> Question {
        let [from, to] = [from, to].map(str::to_owned);
        Question {
            from,
            to,
            protocol: Protocol::Tcp,
            port,
            v6,
        }
    }

    #[test]
    fn a_line_is_each_of_its_parts() {
        let line = Line::read("a/b, c -> d, e tcp/80 icmp denied v6").unwrap();
        assert!(!line.allowed && line.only_v6 == Some(true));
        let each: Vec<_> = line.each().collect();
        assert_eq!(each.len(), 8);
        assert_eq!(each[0], ("a/b", "d", (Protocol::Tcp, 80)));
        assert_eq!(each[7], ("c", "e", (Protocol::Icmp, 0)));
        for none in [
            "a -> b allowed",
            "a b tcp/80 allowed",
            "a -> b tcp/80",
            "a -> b tcp/x denied",
        ] {
            assert!(Line::read(none).is_none(), "{none}");
        }
    }

    #[test]
    fn a_matrix_is_a_small_table() {
        let found = [
            (question("a", "b", 80, false), Outcome::Echoed),
            (question("a", "b", 80, true), Outcome::Echoed),
            (question("a", "c", 80, false), Outcome::Echoed),
            (question("a", "c", 80, true), Outcome::TimedOut),
            (question("b", "c", 80, false), Outcome::TimedOut),
        ];
        let matrix = Matrix {
            found: found.into_iter().collect(),
        };
        insta::assert_snapshot!(matrix, @r"
        from \ to  a  b    c
        a             yes  v4:tcp/80
        b                  -
        c
        ");
    }
}
