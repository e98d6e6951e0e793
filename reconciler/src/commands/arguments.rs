//! The command line, as clap reads it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use state::plan::guards::MaxPrune;
use state::words::names::HostName;

/// Puts container networking and network policy on this host under git.
///
/// Without a subcommand: reads one commit of the tree, compiles it, compares it with what the
/// kernel holds, and applies the difference as one atomic commit.
#[derive(Debug, Parser)]
#[command(name = "reconcile", version)]
#[command(after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// What applies to applying.
    #[command(flatten)]
    pub apply: ApplyArguments,
    /// What applies to every command.
    #[command(flatten)]
    pub global: Global,
    /// Another command than applying.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done, or nothing to do
  1  failed before the commit: what is live is unchanged; or a reading command failed
  2  changes are pending (with --detailed-exitcode)
  3  the tree is invalid or cannot be read
  4  refused: another run holds the lock, a guard, a collision, the owner of the tree
  5  the check after the commit failed: swung back
  6  needs attention: something was left behind
 64  wrong usage";

/// What applies to every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The tree: a directory of a git repository, or a plain one. Default: the working directory,
    /// if plumbline.yaml is at the root of its tree.
    #[arg(short = 'C', global = true, value_name = "DIR", env = "RECONCILE_DIR")]
    pub directory: Option<PathBuf>,
    /// The revision to read. Default: HEAD.
    #[arg(long, global = true, value_name = "REV", conflicts_with = "worktree")]
    pub rev: Option<String>,
    /// Read the files as they are, uncommitted changes included.
    #[arg(long, global = true)]
    pub worktree: bool,
    /// Which host this is, as `spec.host` names it. Default: the host's name.
    #[arg(long, global = true, value_name = "NAME", value_parser = host_name)]
    pub host: Option<HostName>,
    /// How to print.
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub output: Output,
    /// When to use colours. NO_COLOR is honoured.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorWhen,
    /// Print nothing but errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more; twice: what is done, step by step.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Where maps, programs and links are pinned: a directory of a bpffs.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "/sys/fs/bpf/plumbline"
    )]
    pub pin_dir: PathBuf,
    /// What lives until reboot.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "/run/plumbline"
    )]
    pub run_dir: PathBuf,
    /// The journal, and a copy of an applied directory.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "/var/lib/plumbline"
    )]
    pub state_dir: PathBuf,
}

/// What applies to applying.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of applying")]
pub struct ApplyArguments {
    /// Print what would change, and change nothing.
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Exit with 2 where changes are pending (with --dry-run) or were made.
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Allow a tree without a container for this host to remove all.
    #[arg(long)]
    pub allow_empty: bool,
    /// How many containers a run may remove or open: a number, or a share of those that are live.
    #[arg(long, value_name = "N", default_value = "50%")]
    pub max_prune: MaxPrune,
}

impl ApplyArguments {
    /// Whether any was given.
    pub fn given(&self) -> bool {
        self.dry_run
            || self.detailed_exitcode
            || self.allow_empty
            || self.max_prune != MaxPrune::default()
    }
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check the tree: every finding with its place. Needs no root.
    Validate,
    /// Say what is live: the commit, and each container's programs, flows and drops.
    Status,
    /// Say whether a flow is allowed, and which rules say so, each with file and line.
    Explain(ExplainArguments),
    /// Take everything of ours away, and print it. The policy is no longer enforced after it.
    Detach,
}

/// Which flow to explain.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of explain")]
pub struct ExplainArguments {
    /// Who begins: NAMESPACE/NAME of a container, or an address.
    #[arg(long, value_name = "WHO")]
    pub from: String,
    /// With whom: NAMESPACE/NAME of a container, or an address.
    #[arg(long, value_name = "WHO")]
    pub to: String,
    /// The port and protocol, such as 80/TCP, 53/UDP or http/TCP; or icmp.
    #[arg(long, value_name = "PORT")]
    pub port: String,
    /// Ask the tables in the kernel and not the tree. Needs root.
    #[arg(long)]
    pub live: bool,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs: a document with formatVersion.
    Json,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

fn host_name(text: &str) -> Result<HostName, String> {
    HostName::new(text).map_err(|e| e.to_string())
}
