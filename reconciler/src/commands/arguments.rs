//! The command line, as clap reads it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use state::documents::schema::KINDS;
use state::plan::guards::MaxPrune;
use state::words::names::HostName;

use super::durations::{duration, pause};

/// Puts container networking and network policy on this host under git.
///
/// Without a command: reads one commit of the tree, compiles it, compares it with what the kernel
/// holds, prints the difference as a plan, and applies it as one atomic commit. Look first with
/// --dry-run. Needs root.
#[derive(Debug, Parser)]
#[command(name = "reconcile", version)]
#[command(after_help = EXIT_CODES, max_term_width = 100)]
// A unit says one thing, and whoever edits its environment another.
#[command(args_override_self = true)]
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
  2  changes are pending, or were made (with --detailed-exitcode)
  3  the tree is invalid or cannot be read
  4  refused: another run holds the lock, applying is suspended, a guard, a collision, a held
     commit, the owner of the tree
  5  the check after the commit failed: swung back
  6  needs attention: something was left behind, or `drift` found something
 64  wrong usage";

/// What applies to every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The tree: a directory of a git repository, or a plain one. Default: the working directory,
    /// if it holds a plumbline.yaml.
    #[arg(short = 'C', global = true, value_name = "DIR", env = "RECONCILE_DIR")]
    pub directory: Option<PathBuf>,
    /// The commit to read, as git names it: a branch, a tag, an id, HEAD~1. Default: HEAD.
    #[arg(long, global = true, value_name = "REV", conflicts_with = "worktree")]
    pub rev: Option<String>,
    /// Read the files as they are, uncommitted changes included, and no commit.
    #[arg(long, global = true)]
    pub worktree: bool,
    /// Which host this is, as `spec.host` of containers names it. Default: the host's name in lower
    /// case.
    #[arg(long, global = true, value_name = "NAME", value_parser = host_name)]
    pub host: Option<HostName>,
    /// How to print what was asked for.
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub output: Output,
    /// When to use colours.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorWhen,
    /// Print errors alone, who becomes OPEN, and what `status`, `explain` and JSON are asked for.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more: `validate` names what it left out, a run its phases; twice, each operation.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// How long to wait for another run that holds the lock: 30s, 5m, 500ms. Default: not at all.
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        default_value = "0",
        hide_default_value = true,
        value_parser = duration
    )]
    pub lock_timeout: Duration,
    /// Where maps, programs and links are pinned: a directory of a bpffs, root's alone. Runs that
    /// share it take turns by a lock on it.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "/sys/fs/bpf/plumbline"
    )]
    pub pin_dir: PathBuf,
    /// Where a run notes that it holds the lock. May be lost.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "/run/plumbline"
    )]
    pub run_dir: PathBuf,
    /// Where the journal is kept, and a copy of an applied directory. May be lost: what is live is
    /// read from the kernel.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "/var/lib/plumbline"
    )]
    pub state_dir: PathBuf,
    /// The process whose mounts count, for names of network namespaces and the bpffs. Default: our
    /// own. For services that have mounts of their own, which nobody else would see.
    #[arg(
        long,
        global = true,
        value_name = "PID",
        env = "RECONCILE_MOUNTS_OF",
        hide_env = true,
        hide_short_help = true
    )]
    pub mounts_of: Option<u32>,
}

/// What applies to applying.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of applying")]
pub struct ApplyArguments {
    /// What goes with going back, too.
    #[command(flatten)]
    pub run: RunArguments,
    /// Apply the commit that was rolled back from all the same.
    #[arg(long)]
    pub lift_hold: bool,
    /// Once done, look whether the tree is another one by now, and apply again until it is not: who
    /// triggers runs may miss what changes during one.
    #[arg(long, conflicts_with = "dry_run")]
    pub until_at_rest: bool,
    /// Where the tree cannot be applied and nothing is live, as after a boot, make live again what
    /// was live last. The exit code is that of the tree.
    #[arg(long, conflicts_with = "dry_run")]
    pub or_last: bool,
}

/// What applies to one run that makes a commit live.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Options of applying")]
pub struct RunArguments {
    /// Print what would change, and change nothing.
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Exit with 2 where changes are pending (with --dry-run) or were made.
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Print nothing where there is nothing to do, or where it fails as the last run did; where
    /// that is over, a line. For cron, whose mail is then worth reading.
    #[arg(long, conflicts_with = "dry_run")]
    pub only_changes: bool,
    /// What it may do.
    #[command(flatten)]
    pub guards: GuardArguments,
}

/// What whatever makes a commit live may do.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Options of applying")]
pub struct GuardArguments {
    /// Allow a tree that has no container for this host, and so removes all of them.
    #[arg(long)]
    pub allow_empty: bool,
    /// How many containers a run may remove, or open in a direction that was isolated: a number, or
    /// a percentage of those that are live.
    #[arg(long, value_name = "N", default_value = "50%")]
    pub max_prune: MaxPrune,
    /// How many live connections a run may cut. Default: any number.
    #[arg(long, value_name = "N")]
    pub max_cut: Option<usize>,
}

impl ApplyArguments {
    /// Whether any was given.
    pub fn given(&self) -> bool {
        let run = &self.run;
        self.lift_hold
            || run.dry_run
            || run.detailed_exitcode
            || run.only_changes
            || run.guards != GuardArguments::default()
            || self.until_at_rest
            || self.or_last
    }
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a tree to begin with, its examples commented out, and a file for its CI.
    ///
    /// Into the directory that -C names, or the working directory. Asks nothing; a file that is
    /// there is kept as it is. Needs no root.
    Init(InitArguments),
    /// Check the tree: every finding with its place. Needs no root.
    ///
    /// Exits with 3 where a finding is an error; a warning is none. With -v it also names what was
    /// left out, what `ignoreKinds` skipped, and what is accepted without effect.
    Validate,
    /// Print JSON Schema (draft 2020-12) of a kind, or of all, for editors.
    ///
    /// Needs no tree and no root.
    Schema(SchemaArguments),
    /// Say which flows two commits differ on: who may reach whom, or may no more.
    ///
    /// From git alone: needs no root and no kernel. Both trees are judged for every host that they
    /// name. With -o markdown for a merge request.
    ///
    /// Example: reconcile diff origin/main..HEAD
    Diff(DiffArguments),
    /// Say what is live: the commit, and each container's programs, flows and drops.
    ///
    /// All of it is read from the kernel. Needs root.
    ///
    /// Where the tree of the live commit can be read, by -C, it also says what differs, as `drift`
    /// does.
    Status,
    /// Say what was live when: each commit, newest first, from the journal in --state-dir.
    ///
    /// With a generation, what became live under it. The journal is kept for people: what is live
    /// is read from the kernel (`status`), and a journal that is lost is missed by nobody else. A
    /// reboot begins to count generations anew.
    History(HistoryArguments),
    /// Go back to the commit that was live before, or to that of a generation.
    ///
    /// By one store where the kernel still holds all of it: its slot was live, nothing has been
    /// written to it, it reads back as the commit's tree says, and containers and programs are the
    /// same. Else by an ordinary apply of its tree, from the repository's objects or the copy of an
    /// applied directory. --dry-run says which of the two, and why. Guards are those of applying.
    ///
    /// What was rolled back from is held: a run on it is refused until HEAD is another commit.
    /// Other commits can be named with --rev meanwhile, and --lift-hold applies it all the same.
    /// Needs root.
    Rollback(RollbackArguments),
    /// Say what is not as the live commit put it there.
    ///
    /// What, where, and what it means for traffic. Compares with the tree of the live commit, which
    /// is read from the repository that -C names; without it only what the kernel and the host tell
    /// by themselves is found. The next run mends it. Exits with 6 where something is found, but
    /// for what is harmless. Needs root.
    Drift,
    /// Say whether a flow is allowed, and which rules say so, each with file and line.
    ///
    /// Asks the tree, and needs no root: whose an address outside of it is, it does not know, not
    /// even of this host's own. With --live it asks the tables in the kernel, which do. Where both
    /// ends have two addresses, it answers for IPv4 and for IPv6. The exit code is 0 whatever the
    /// verdict; scripts read `verdict` of -o json.
    ///
    /// Example: reconcile explain --from shop/front --to shop/catalog --port 8080/TCP
    Explain(ExplainArguments),
    /// Apply whenever the tree or the host has changed, until SIGTERM.
    ///
    /// Follows the commit that --rev names (default: HEAD) or a plain directory, and the namespaces
    /// and interfaces that containers are attached to. What fails is tried again, ever less often,
    /// and let be after some tries; an invalid commit is not tried again. The next commit is taken
    /// at once. SIGHUP asks for a run. Who stops it takes nothing away. Needs root.
    Watch(WatchArguments),
    /// Apply nothing until `resume`, by whatever way.
    ///
    /// Waits for a run that is under way. What is live stays, and nothing mends it. After a reboot
    /// the commit that was live comes back. Needs root.
    Suspend(SuspendArguments),
    /// Apply again.
    ///
    /// Applies nothing itself: the next run does, and a watcher at once. Needs root.
    Resume,
    /// Take everything of ours away, and print it. The policy is no longer enforced after it.
    ///
    /// All that is below --pin-dir and marked as ours; no tree is looked at, whatever -C says.
    ///
    /// Containers lose their interfaces and their network namespaces; a process that lives in one
    /// is named, not ended (exit code 6). What is not ours is left alone, and so are the state
    /// directory and the sysctls of forwarding. Needs root.
    Detach,
    /// Say whether this host can do it, and what stands in the way, each with the remedy.
    ///
    /// Kernel features are tried, on objects that nobody else sees. Looks at capabilities, bpffs,
    /// sysctls, chains that drop forwarded packets, programs of others on our interfaces, and the
    /// tree that -C names. Changes nothing. Exits with 1 where nothing can be applied, and with 6
    /// where something needs attention. Needs root.
    Doctor,
    /// Print completions for a shell. Needs no tree and no root.
    Completions(CompletionsArguments),
    /// Write manual pages into a directory, for who makes a package.
    #[command(hide = true)]
    Man(ManArguments),
}

/// For which shell.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of completions")]
pub struct CompletionsArguments {
    /// The shell.
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Where to.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of man")]
pub struct ManArguments {
    /// A directory.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// What to begin with.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of init")]
pub struct InitArguments {
    /// Which CI to write a file for. Default: gitlab where the repository says so, else github.
    #[arg(long, value_name = "CI")]
    pub ci: Option<Ci>,
}

/// Who checks what is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ci {
    /// GitHub Actions.
    Github,
    /// GitLab CI.
    Gitlab,
    /// Nobody.
    None,
}

/// Which schema.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of schema")]
pub struct SchemaArguments {
    /// The kind. Default: a schema of documents of any kind.
    #[arg(value_name = "KIND", ignore_case = true)]
    #[arg(value_parser = KINDS.map(|(name, _)| name))]
    pub kind: Option<String>,
}

/// How to follow.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of watch")]
pub struct WatchArguments {
    /// How long after a run another one is made though nothing was noticed: it mends what others
    /// changed on the host.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = pause)]
    pub interval: Duration,
    /// How often to look where changes give no notice, as on network file systems.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = pause)]
    pub poll: Duration,
    /// As of applying.
    #[command(flatten)]
    pub guards: GuardArguments,
}

/// Why nothing is to be applied.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of suspend")]
pub struct SuspendArguments {
    /// What `status` and every refused run will say.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: String,
}

/// Which part of the history.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of history")]
pub struct HistoryArguments {
    /// A generation, as `history` numbers them. Default: all of them.
    #[arg(value_name = "GEN")]
    pub generation: Option<u64>,
}

/// Where to go back to.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of rollback")]
pub struct RollbackArguments {
    /// The generation to go back to, as `history` numbers them. Default: the commit that the other
    /// slot holds. Where another commit asked for the same since, only the name of the live slot
    /// changed, and that one was live before both.
    #[arg(value_name = "GEN")]
    pub generation: Option<u64>,
    /// As of applying.
    #[command(flatten)]
    pub run: RunArguments,
}

/// Which flow to explain.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of explain")]
pub struct ExplainArguments {
    /// Who begins the flow: NAMESPACE/NAME of a container, or an address.
    #[arg(long, value_name = "WHO")]
    pub from: String,
    /// With whom: NAMESPACE/NAME of a container, or an address.
    #[arg(long, value_name = "WHO")]
    pub to: String,
    /// The port at --to, and its protocol: 80/TCP, 53/UDP, http/TCP by its name there; or icmp.
    /// Without a protocol it is TCP.
    #[arg(long, value_name = "PORT")]
    pub port: String,
    /// Ask the tables that packets are judged by, in the kernel. Needs root.
    #[arg(long, conflicts_with_all = ["rev", "worktree"])]
    pub live: bool,
}

/// What to compare.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of diff")]
pub struct DiffArguments {
    /// Two commits, as git names them: OLD..NEW. An end that is left out is HEAD.
    #[arg(value_name = "OLD..NEW")]
    pub range: String,
    /// Exit with 2 where a flow changes.
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs: one JSON document, with formatVersion.
    Json,
    /// For a merge request: `diff` alone.
    Markdown,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless NO_COLOR is set or TERM is dumb.
    Auto,
    /// Into files and pipes, too.
    Always,
    /// Nowhere.
    Never,
}

fn reason(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("a reason has at least one word".to_owned()),
        text => Ok(text.to_owned()),
    }
}

fn host_name(text: &str) -> Result<HostName, String> {
    HostName::new(text).map_err(|e| e.to_string())
}
