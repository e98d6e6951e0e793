//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::during::Beside;
use crate::matrix::{Case, Cpus, Family, Kind, Setup, Workload};

/// Measures traffic through Plumbline beside its peers, in namespaces of its own.
///
/// In each round every setup is measured once in turn, and its rate is divided by that of a direct
/// veth pair in the same round. Prints a table; --write keeps it, with JSON and a plot. Nothing is
/// asserted of any rate.
#[derive(Debug, Parser)]
#[command(
    name = "bench",
    max_term_width = 100,
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) measure: Measure,
    #[command(subcommand)]
    pub(crate) part: Option<Part>,
}

/// What is measured, and where it is written.
#[derive(Args, Clone, Debug)]
pub(crate) struct Measure {
    /// Rounds; 5, or 3 with --quick.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// How long one measurement takes, in seconds; 0.5, or 0.2 with --quick.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    seconds: Option<f64>,
    /// The most transactions of one measurement.
    #[arg(long, value_name = "NUMBER", default_value_t = u64::MAX, hide_default_value = true)]
    pub(crate) count: u64,
    /// A smaller run: IPv4 and one CPU, request/response and connect/close, 0, 10 and 1000
    /// policies; what is asked for by name counts all the same.
    #[arg(long)]
    quick: bool,
    /// What stands between client and server; all. The direct pair is always measured.
    #[arg(long, value_name = "SETUPS", value_delimiter = ',')]
    setups: Option<Vec<Kind>>,
    /// Kinds of traffic; all.
    #[arg(long, value_name = "WORKLOADS", value_delimiter = ',')]
    workloads: Option<Vec<Workload>>,
    /// Families of addresses; both.
    #[arg(long, value_name = "FAMILIES", value_delimiter = ',')]
    families: Option<Vec<Family>>,
    /// Processors of client and server together: 1, 2, or both.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    cpus: Option<Vec<Cpus>>,
    /// Numbers of policies; 0,10,100,1000,10000,100000.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    n: Option<Vec<usize>>,
    /// Instead: Plumbline alone, with and without this beside the traffic.
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub(crate) during: Vec<Beside>,
    /// Keep the result in this folder, docs/performance for the one in the documentation.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) write: Option<PathBuf>,
}

impl Measure {
    /// How many rounds.
    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 3 } else { 5 })
    }

    /// How long one measurement takes, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.seconds.unwrap_or(if self.quick { 0.2 } else { 0.5 })
    }

    /// What is measured, the direct pair first; where something goes on beside the traffic,
    /// Plumbline alone.
    pub(crate) fn setups(&self) -> Vec<Setup> {
        if !self.during.is_empty() {
            let named = self.n.as_deref().and_then(<[usize]>::first);
            let policies = named.copied().unwrap_or(10_000);
            return vec![Setup::of(Kind::Plumbline, policies)];
        }
        let quick: &[Kind] = match self.quick {
            true => &[
                Kind::Direct,
                Kind::Routed,
                Kind::NftRules,
                Kind::NftMap,
                Kind::Plumbline,
            ],
            false => Kind::value_variants(),
        };
        let kinds = self.setups.clone().unwrap_or_else(|| quick.to_owned());
        Setup::all(&kinds, &self.policies())
    }

    fn policies(&self) -> Vec<usize> {
        let usual: &[usize] = match self.quick {
            true => &[0, 10, 1_000],
            false => &[0, 10, 100, 1_000, 10_000, 100_000],
        };
        self.n.clone().unwrap_or_else(|| usual.to_owned())
    }

    /// The traffic, of these workloads where none is named.
    pub(crate) fn cases(&self) -> Vec<Case> {
        let workloads: &[Workload] = match self.quick || !self.during.is_empty() {
            true => &[Workload::Rr, Workload::Crr],
            false => Workload::value_variants(),
        };
        let (families, cpus): (&[Family], &[Cpus]) = match (self.quick, self.during.is_empty()) {
            (true, _) => (&[Family::V4], &[Cpus::One]),
            (false, false) => (Family::value_variants(), &[Cpus::One]),
            (false, true) => (Family::value_variants(), Cpus::value_variants()),
        };
        Case::all(
            self.workloads.as_deref().unwrap_or(workloads),
            self.families.as_deref().unwrap_or(families),
            self.cpus.as_deref().unwrap_or(cpus),
        )
    }
}

/// One end of the traffic, as a process of its own: what the bench starts in each namespace.
#[derive(Debug, Subcommand)]
pub(crate) enum Part {
    /// Answers until its input ends.
    #[command(hide = true)]
    Serve(End),
    /// Asks, and prints what it counted as JSON.
    #[command(hide = true)]
    Ask {
        #[command(flatten)]
        end: End,
        workload: Workload,
        seconds: f64,
        count: u64,
    },
}

/// Where an end of the traffic is.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct End {
    /// The server's address.
    pub(crate) server: SocketAddr,
    /// Its processor.
    pub(crate) cpu: usize,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=60.0).contains(&seconds) => Ok(seconds),
        _ => Err("from 0.01 to 60".to_owned()),
    }
}
