//! When to look, when to run, and when to let it be: pure. Times are durations since whatever the
//! caller counts from.
//!
//! A notice says that something may have changed, and is cheap to get wrong: what is noticed is
//! looked at once it has been quiet for a moment, and a run follows only where the look found
//! something else than the last run began with. So a change that comes while a run is under way is
//! not missed, whatever became of its notice: the look after the run finds it.

use std::time::Duration;

pub use super::terms::{Ended, Next, Pace, Reason, Seen};

/// Longest time between two tries of what fails.
const BACKOFF_MOST: Duration = Duration::from_secs(300);
/// How often a run on the same tree may fail before it is let be.
const TRIES: u32 = 10;

/// Longest time that a change of the host waits after a failure.
const HOST_MOST: Duration = Duration::from_secs(10);

/// What is known so far.
#[derive(Clone, Debug)]
pub struct Schedule {
    pace: Pace,
    /// The first and the last notice that was not looked at yet.
    noticed: Option<(Duration, Duration)>,
    /// What the last run began with.
    began: Option<Seen>,
    /// A run that is due, and from when on.
    due: Option<(Reason, Duration)>,
    /// The one that was due later than the run that is under way.
    put_off: Option<(Reason, Duration)>,
    /// How many runs in a row failed on the same tree, or found the host changed under them.
    in_vain: u32,
    /// Why the last run was made.
    reason: Reason,
    ended: Ended,
    ended_at: Duration,
    /// Whether nobody has looked since.
    unseen: bool,
    looked_at: Duration,
}

impl Schedule {
    /// Nothing has been done: a run is due.
    pub fn new(pace: Pace, now: Duration) -> Self {
        Self {
            pace,
            noticed: None,
            began: None,
            due: Some((Reason::Asked, now)),
            put_off: None,
            in_vain: 0,
            reason: Reason::Asked,
            ended: Ended::Well,
            ended_at: now,
            unseen: false,
            looked_at: now,
        }
    }

    /// Something may have changed.
    pub fn notice(&mut self, now: Duration) {
        let first = self.noticed.map_or(now, |(first, _)| first);
        self.noticed = Some((first, now));
    }

    /// Somebody asks for a run: whatever failed is tried anew.
    pub fn ask(&mut self, now: Duration) {
        self.in_vain = 0;
        self.due = Some((Reason::Asked, now));
    }

    /// How often to look where nothing gives notice, from now on.
    pub fn poll(&mut self, every: Option<Duration>) {
        self.pace.poll = every;
    }

    /// What to do now.
    pub fn next(&self, now: Duration) -> Next {
        let (look_at, (reason, run_at)) = (self.look_at(), self.run_at());
        if run_at <= now {
            Next::Run(reason)
        } else if look_at.is_some_and(|at| at <= now) {
            Next::Look
        } else {
            Next::Wait(look_at.map_or(run_at, |at| at.min(run_at)))
        }
    }

    fn look_at(&self) -> Option<Duration> {
        let noticed = self.noticed.map(|(first, last)| {
            let (quiet, patience) = (last + self.pace.quiet, first + self.pace.patience);
            quiet.min(patience)
        });
        let polled = self.pace.poll.map(|every| self.looked_at + every);
        noticed.into_iter().chain(polled).min()
    }

    fn run_at(&self) -> (Reason, Duration) {
        let backstop = (Reason::Backstop, self.ended_at + self.pace.backstop);
        match self.due {
            Some(due) if due.1 <= backstop.1 => due,
            _ => backstop,
        }
    }

    /// A look, made at this time, found this.
    pub fn seen(&mut self, now: Duration, seen: Seen) {
        self.looked_at = now;
        self.noticed = None;
        let first = std::mem::take(&mut self.unseen);
        let Some(began) = &mut self.began else {
            return;
        };
        let asked = began.tree != seen.tree || began.suspended != seen.suspended;
        let moved = began.host != seen.host && !first;
        if asked {
            self.in_vain = 0;
            self.due = Some((Reason::Changed, now));
        } else if moved && self.ended == Ended::Failed {
            // It may go better now; but who changes the host all the time is not raced.
            let at = now.max(self.ended_at + self.pause().min(HOST_MOST));
            let sooner = self.due.filter(|(_, due)| *due <= at);
            self.due = sooner.or(Some((Reason::Host, at)));
        } else if moved {
            self.in_vain = 0;
            self.due = Some((Reason::Host, now));
        } else if began.host == seen.host {
            if first && self.ended != Ended::Failed {
                self.in_vain = 0;
            }
        } else if self.ended != Ended::Failed {
            // The run did that, or somebody else while it went on: the next one finds all as it
            // should be. Who does it again and again is not raced.
            began.host = seen.host;
            self.due = Some((Reason::Host, now + self.pause()));
            self.in_vain = (self.in_vain + 1).min(TRIES);
        } else {
            began.host = seen.host;
            // The run did that, or somebody who may have mended what made it fail: where no other
            // try follows, one does.
            self.due = self.due.or(Some((Reason::Host, now + self.pause())));
        }
    }

    /// A run begins with this. Gives why it is made: for another tree, whatever made it due.
    pub fn begin(&mut self, now: Duration, seen: Seen, reason: Reason) -> Reason {
        self.looked_at = now;
        self.noticed = None;
        self.put_off = self.due.take().filter(|_| reason == Reason::Backstop);
        let known = self.began.as_ref();
        let another = known.is_some_and(|known| known.tree != seen.tree);
        let moved = known.is_some_and(|known| known.host != seen.host);
        self.began = Some(seen);
        self.reason = match reason {
            _ if another => Reason::Changed,
            Reason::Backstop if moved => Reason::Host,
            reason => reason,
        };
        if another {
            self.in_vain = 0;
        }
        self.reason
    }

    /// It ended so. What has changed meanwhile is for [`Self::seen`] to say.
    ///
    /// `tried`: whether it tried to apply the tree, and is one of those that may fail.
    ///
    /// `read`: what it found, which may be newer than what the look before it found. It is not run
    /// again for that tree; and where tree or host are back at what the look found, it is run.
    pub fn end(&mut self, now: Duration, ended: Ended, read: Option<Seen>, tried: bool) {
        if let (Some(began), Some(read)) = (&mut self.began, read) {
            began.tree = read.tree;
            if began.host != read.host {
                // It changed under the reader: no later look is known to find what was read.
                began.host.clear();
            }
        }
        self.ended = ended;
        self.ended_at = now;
        self.unseen = true;
        // Whatever happened in between is looked at.
        self.notice(now);
        match ended {
            Ended::Well => {}
            _ if !tried => self.due = self.put_off.take(),
            Ended::Failed if self.in_vain < TRIES => {
                // Who changes the host all the time takes no try away.
                if self.reason != Reason::Host || self.in_vain == 0 {
                    self.in_vain += 1;
                }
                self.due = Some((Reason::Again, now + self.pause()));
            }
            Ended::Failed | Ended::Invalid => self.due = None,
        }
    }

    /// How the last run ended.
    pub fn ended(&self) -> Ended {
        self.ended
    }

    /// Whether what failed is tried no more until something changes.
    pub fn gave_up(&self) -> bool {
        self.ended != Ended::Well && self.due.is_none()
    }

    /// How long to wait before the next of several runs in vain.
    fn pause(&self) -> Duration {
        match self.in_vain {
            0 => Duration::ZERO,
            before => {
                let doubled = 2_u32.saturating_pow(before - 1);
                self.pace.retry.saturating_mul(doubled).min(BACKOFF_MOST)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn seen(tree: &str, host: &str) -> Seen {
        Seen {
            tree: tree.to_owned(),
            host: host.to_owned(),
            suspended: false,
        }
    }

    /// A host, a tree that others change, and a run that takes its time.
    struct World {
        now: Duration,
        schedule: Schedule,
        seen: Seen,
        runs: Vec<(Duration, Seen, Reason)>,
        /// Whether runs try to apply the tree.
        tried: bool,
        /// What the run found, where it is something else than the look before it found.
        read: Option<Seen>,
    }

    impl World {
        fn new(pace: Pace) -> Self {
            Self {
                now: Duration::ZERO,
                schedule: Schedule::new(pace, Duration::ZERO),
                seen: seen("a", "1"),
                runs: Vec::new(),
                tried: true,
                read: None,
            }
        }

        /// Goes on until then. `run` is what a run does, and how it ends.
        fn until(&mut self, end: Duration, mut run: impl FnMut(&mut Self) -> Ended) {
            while self.now <= end {
                match self.schedule.next(self.now) {
                    Next::Look => self.schedule.seen(self.now, self.seen.clone()),
                    Next::Run(reason) => {
                        let began = self.seen.clone();
                        let reason = self.schedule.begin(self.now, began.clone(), reason);
                        self.runs.push((self.now, began, reason));
                        let ended = run(self);
                        self.now += MS;
                        self.schedule
                            .end(self.now, ended, self.read.take(), self.tried);
                    }
                    Next::Wait(until) if until <= end => self.now = until.max(self.now + MS),
                    Next::Wait(_) => break,
                }
            }
            self.now = end;
        }

        fn change(&mut self, tree: &str) {
            self.seen.tree = tree.to_owned();
            self.schedule.notice(self.now);
        }
    }

    #[test]
    fn a_change_is_run_once_it_is_quiet_and_noise_is_not() {
        let mut world = World::new(Pace::default());
        world.until(1_000 * MS, |_| Ended::Well);
        assert_eq!(world.runs.len(), 1, "{:?}", world.runs);
        world.schedule.notice(world.now);
        world.until(2_000 * MS, |_| Ended::Well);
        assert_eq!(world.runs.len(), 1, "nothing has changed");
        for at in 0..100 {
            world.change(&format!("b{at}"));
            world.until(world.now + 10 * MS, |_| Ended::Well);
        }
        world.until(4_000 * MS, |_| Ended::Well);
        let last = world.runs.last().unwrap();
        assert_eq!((last.1.tree.as_str(), last.2), ("b99", Reason::Changed));
        assert!((2..6).contains(&world.runs.len()), "{:?}", world.runs);
    }

    #[test]
    fn what_changes_during_a_run_is_run_after_it_noticed_or_not() {
        let mut world = World::new(Pace::default());
        let mut first = true;
        world.until(1_000 * MS, |world| {
            if std::mem::take(&mut first) {
                world.seen.tree = "b".to_owned();
            }
            Ended::Well
        });
        let trees: Vec<&str> = world.runs.iter().map(|run| run.1.tree.as_str()).collect();
        assert_eq!(trees, ["a", "b"]);
    }

    #[test]
    fn a_run_that_read_what_is_newer_was_about_that() {
        // What it read, what is there in the end, and how many runs there are.
        for (read, last, runs) in [
            (seen("b", "1"), seen("b", "1"), 1),
            (seen("b", "1"), seen("a", "1"), 2),
            (seen("a", "2"), seen("a", "1"), 2),
            (seen("a", "2"), seen("a", "2"), 2),
        ] {
            let mut world = World::new(Pace::default());
            let mut first = true;
            world.until(1_000 * MS, |world| {
                if std::mem::take(&mut first) {
                    world.read = Some(read.clone());
                    world.seen = last.clone();
                }
                Ended::Well
            });
            assert_eq!(
                world.runs.len(),
                runs,
                "{read:?} {last:?}: {:?}",
                world.runs
            );
        }
    }

    #[test]
    fn another_tree_is_run_as_that_whatever_made_the_run_due() {
        let mut world = World::new(Pace::default());
        world.until(1_000 * MS, |_| Ended::Invalid);
        world.seen.tree = "b".to_owned();
        world.until(Duration::from_secs(400), |_| Ended::Invalid);
        let reasons: Vec<_> = world.runs.iter().map(|run| run.2).collect();
        assert_eq!(reasons, [Reason::Asked, Reason::Changed]);
        world.seen.host = "2".to_owned();
        world.schedule.notice(world.now);
        world.until(Duration::from_secs(410), |_| Ended::Invalid);
        assert_eq!(world.runs.last().unwrap().2, Reason::Host);
    }

    /// Each run makes something that somebody undoes, and a notice comes each second.
    #[test]
    fn who_undoes_it_again_and_again_is_not_raced() {
        let mut world = World::new(Pace::default());
        for _ in 0..100 {
            world.schedule.notice(world.now);
            world.until(world.now + 1_000 * MS, |world| {
                world.read = Some(seen("a", ""));
                Ended::Well
            });
        }
        assert!((4..10).contains(&world.runs.len()), "{:?}", world.runs);
        world.until(Duration::from_secs(4_000), |_| Ended::Well);
        let last = world.runs.len();
        world.seen.host = "2".to_owned();
        world.schedule.notice(world.now);
        world.until(world.now + 100 * MS, |_| Ended::Well);
        assert_eq!(world.runs.len(), last + 1, "at once");
    }

    #[test]
    fn what_fails_is_tried_ever_less_often_and_then_let_be() {
        let mut world = World::new(Pace {
            backstop: Duration::from_secs(1 << 20),
            ..Pace::default()
        });
        world.until(Duration::from_secs(40_000), |_| Ended::Failed);
        let tries = world.runs.len();
        assert_eq!(u32::try_from(tries).unwrap(), TRIES + 1);
        assert!(world.schedule.gave_up());
        let pauses: Vec<Duration> = world.runs.windows(2).map(|w| w[1].0 - w[0].0).collect();
        assert!(pauses.is_sorted() && pauses[1] > pauses[0], "{pauses:?}");
        world.change("b");
        world.until(Duration::from_secs(40_001), |_| Ended::Well);
        assert_eq!(world.runs.len(), tries + 1, "the next commit at once");
        assert!(!world.schedule.gave_up());
    }

    /// Runs that look after what is live alone, as after each of the host's timer, are no tries.
    #[test]
    fn what_tries_nothing_takes_no_try_away() {
        let tries_of = |backstop| {
            let mut world = World::new(Pace {
                backstop,
                ..Pace::default()
            });
            let mut tries = 0;
            world.until(Duration::from_secs(3_000), |world| {
                let last = world.runs.last().unwrap().2;
                world.tried = last != Reason::Backstop;
                tries += u32::from(world.tried);
                Ended::Failed
            });
            tries
        };
        let longest = tries_of(Duration::from_secs(1 << 20));
        assert_eq!(longest, TRIES + 1);
        for seconds in [2, 10, 300] {
            assert_eq!(tries_of(Duration::from_secs(seconds)), longest, "{seconds}");
        }
    }

    /// The host is another each second, and what fails is not tried for each of them.
    #[test]
    fn what_fails_is_tried_again_for_the_host_now_and_then() {
        let mut world = World::new(Pace::default());
        for host in 0..200 {
            world.seen.host = host.to_string();
            world.schedule.notice(world.now);
            world.until(world.now + 1_000 * MS, |_| Ended::Failed);
        }
        let tries = world.runs.len();
        assert!((15..30).contains(&tries), "{tries}");
        // Also where it was given up.
        world.until(Duration::from_secs(10_000), |_| Ended::Failed);
        let tries = world
            .runs
            .iter()
            .filter(|run| run.2 == Reason::Host)
            .count();
        world.seen.host = "another".to_owned();
        world.schedule.notice(world.now);
        world.until(world.now + 1_000 * MS, |_| Ended::Well);
        let after = world
            .runs
            .iter()
            .filter(|run| run.2 == Reason::Host)
            .count();
        assert_eq!(after, tries + 1);
    }

    #[test]
    fn what_is_invalid_is_run_once_and_the_next_at_once() {
        let mut world = World::new(Pace::default());
        world.until(Duration::from_secs(200), |_| Ended::Invalid);
        assert_eq!(world.runs.len(), 1);
        world.until(Duration::from_secs(301), |_| Ended::Invalid);
        assert_eq!(world.runs[1].2, Reason::Backstop);
        let begun = world.now;
        world.change("b");
        world.until(begun + 100 * MS, |_| Ended::Well);
        assert_eq!(world.runs.len(), 3);
        world.schedule.ask(world.now);
        world.until(begun + 200 * MS, |_| Ended::Well);
        assert_eq!(world.runs[3].2, Reason::Asked);
    }

    #[test]
    fn a_run_that_changes_the_host_is_followed_by_one_and_by_few_where_somebody_undoes_it() {
        let mut world = World::new(Pace::default());
        let mut first = true;
        world.until(Duration::from_secs(10), |world| {
            if std::mem::take(&mut first) {
                world.seen.host = "2".to_owned();
            }
            Ended::Well
        });
        assert_eq!(world.runs.len(), 2);
        let mut host = 2;
        world.schedule.ask(world.now);
        world.until(Duration::from_secs(60), |world| {
            host += 1;
            world.seen.host = host.to_string();
            Ended::Well
        });
        assert!(world.runs.len() < 12, "{:?}", world.runs);
    }

    #[test]
    fn who_gives_no_notice_is_asked() {
        let mut world = World::new(Pace {
            poll: Some(Duration::from_secs(2)),
            ..Pace::default()
        });
        world.until(Duration::from_secs(1), |_| Ended::Well);
        world.seen.tree = "b".to_owned();
        world.until(Duration::from_secs(4), |_| Ended::Well);
        assert_eq!(world.runs.last().unwrap().1.tree, "b");
    }
}
