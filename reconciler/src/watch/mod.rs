//! Following a tree and a host: a loop around looks and runs, which are the caller's.
//!
//! ```text
//! notice -> (quiet for a moment) -> look -> something else than before? -> run -> look
//! ```
//!
//! When to do what is for [`schedule`] to say, which is pure; notices come from [`notices`] and
//! from whoever else wakes the loop. Nothing is ever taken down here: who stops leaves what is
//! live.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep_until;

pub mod notices;
mod terms;
pub mod schedule;
mod service;

use notices::{Notices, Place};
use schedule::{Ended, Next, Pace, Reason, Schedule, Seen};

/// What a look found.
pub struct Look {
    /// What is compared with what the last run began with.
    pub seen: Seen,
    /// Where a change of it would be noticed.
    pub places: Vec<Place>,
    /// Why other changes of it would not be, if that is so.
    pub deaf: Option<String>,
}

/// What became of a run.
pub struct Ran {
    /// How it ended.
    pub ended: Ended,
    /// In a line, for whoever asks how things are.
    pub status: String,
    /// Whether it was tried at all to apply the tree.
    pub tried: bool,
    /// What it found, right after it had read it; `None` where it did not come to that.
    pub read: Option<Seen>,
}

/// Looks and runs. Both may block.
pub trait Work: Send + 'static {
    /// Looks at tree and host.
    fn look(&mut self) -> Look;
    /// Makes a run. `before`: how the last one ended.
    fn run(&mut self, reason: Reason, before: Ended) -> Ran;
    /// Some places give no notice, for this reason, and are looked at so often; or all do again.
    fn deaf(&mut self, why: Option<&str>, every: Duration);
}

/// Why it was not followed any more.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(std::io::Error),
    /// A look or a run ended in a way that it must not.
    #[error("a run broke off: {0}")]
    Broken(#[from] JoinError),
}

/// Follows until SIGTERM or SIGINT. A run that is under way is ended first.
///
/// `woken` wakes it: something may have changed. SIGHUP asks for a run.
///
/// # Errors
///
/// What keeps it from going on.
pub async fn follow<W: Work>(
    pace: Pace,
    poll: Duration,
    work: W,
    woken: Arc<Notify>,
) -> Result<(), FollowError> {
    let stop = stop(&woken).map_err(FollowError::Signals)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(FollowError::Signals)?;
    let mut follower = Follower {
        pulse: Pulse::new(),
        start: Instant::now(),
        schedule: Schedule::new(pace, Duration::ZERO),
        notices: Notices::new(Arc::clone(&woken)),
        work: Some(work),
        poll,
        deaf: None,
        is_ready: false,
    };
    while !stop.load(Ordering::SeqCst) {
        match follower.schedule.next(follower.now()) {
            Next::Look => {
                let (at, seen) = follower.look().await?;
                follower.schedule.seen(at, seen);
            }
            Next::Run(reason) => follower.run(reason).await?,
            Next::Wait(until) => {
                let until = (follower.start + until).into();
                tokio::select! {
                    () = woken.notified() => follower.schedule.notice(follower.now()),
                    () = sleep_until(until) => {}
                    () = follower.pulse.wait() => follower.pulse.beat(),
                    _ = hangup.recv() => follower.schedule.ask(follower.now()),
                }
            }
        }
    }
    service::stopping();
    Ok(())
}

/// For how long something is worked on before it is taken for stuck: a service manager that is told
/// nothing more ends it then, which takes nothing away.
const WORK_MOST: Duration = Duration::from_secs(3600);

struct Follower<W> {
    pulse: Pulse,
    start: Instant,
    schedule: Schedule,
    notices: Notices,
    /// `None` while it works.
    work: Option<W>,
    poll: Duration,
    /// Why some places give no notice.
    deaf: Option<String>,
    is_ready: bool,
}

impl<W: Work> Follower<W> {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Looks, where every later change gives notice. When that was, and what was found.
    async fn look(&mut self) -> Result<(Duration, Seen), JoinError> {
        loop {
            let at = self.now();
            let look = self.working(W::look).await?;
            let watched = self.notices.watch(&look.places);
            // The first reason is the one that is told: others add nothing to what it leads to.
            let deaf = watched.deaf.or(look.deaf);
            if deaf.is_some() != self.deaf.is_some() {
                self.schedule.poll(deaf.is_some().then_some(self.poll));
                let (why, every) = (deaf.clone(), self.poll);
                self.working(move |work: &mut W| work.deaf(why.as_deref(), every))
                    .await?;
                self.deaf = deaf;
            }
            if !watched.anew {
                return Ok((at, look.seen));
            }
        }
    }

    async fn run(&mut self, reason: Reason) -> Result<(), JoinError> {
        let (at, seen) = self.look().await?;
        let reason = self.schedule.begin(at, seen, reason);
        let before = self.schedule.ended();
        let ran = self
            .working(move |work: &mut W| work.run(reason, before))
            .await?;
        self.schedule
            .end(self.now(), ran.ended, ran.read, ran.tried);
        service::status(&ran.status);
        if !self.is_ready {
            service::ready();
            self.is_ready = true;
        }
        Ok(())
    }

    /// Works on a thread that may block.
    async fn working<T: Send + 'static>(
        &mut self,
        what: impl FnOnce(&mut W) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let Some(mut work) = self.work.take() else {
            // Each call puts it back, or has ended in an error, which ends all.
            unreachable!("it works on one thing at a time");
        };
        let mut working = spawn_blocking(move || {
            let done = what(&mut work);
            (work, done)
        });
        let begun = Instant::now();
        let (work, done) = loop {
            tokio::select! {
                worked = &mut working => break worked?,
                () = self.pulse.wait(), if begun.elapsed() < WORK_MOST => self.pulse.beat(),
            }
        };
        self.work = Some(work);
        Ok(done)
    }
}

/// Becomes true when somebody asks us to leave.
fn stop(woken: &Arc<Notify>) -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let (stop, woken, mut asked) = (Arc::clone(&stop), Arc::clone(woken), signal(kind)?);
        tokio::spawn(async move {
            asked.recv().await;
            stop.store(true, Ordering::SeqCst);
            woken.notify_one();
        });
    }
    Ok(stop)
}

/// When the service manager is to hear of us next, and how often; `None` where it does not ask.
struct Pulse(Option<(Instant, Duration)>);

impl Pulse {
    fn new() -> Self {
        Self(service::alive_every().map(|every| (Instant::now() + every, every)))
    }

    async fn wait(&self) {
        match self.0 {
            Some((at, _)) => sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    }

    fn beat(&mut self) {
        service::alive();
        if let Some((at, every)) = &mut self.0 {
            *at = Instant::now() + *every;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A tree whose changes give no notice.
    #[derive(Clone, Default)]
    struct Silent {
        looks: Arc<Mutex<u32>>,
        ran: Arc<Mutex<Vec<String>>>,
        told: Arc<Mutex<Vec<Option<String>>>>,
        /// Woken by each look and each run.
        moved: Arc<Notify>,
    }

    impl Work for Silent {
        fn look(&mut self) -> Look {
            let mut looks = self.looks.lock().unwrap();
            *looks += 1;
            self.moved.notify_one();
            let seen = Seen {
                tree: if *looks < 10 { "a" } else { "b" }.to_owned(),
                ..Seen::default()
            };
            let deaf = (*looks > 5).then(|| "the socket closed".to_owned());
            Look {
                seen,
                places: Vec::new(),
                deaf,
            }
        }

        fn run(&mut self, reason: Reason, _: Ended) -> Ran {
            self.ran.lock().unwrap().push(format!("{reason:?}"));
            self.moved.notify_one();
            Ran {
                ended: Ended::Well,
                status: String::new(),
                tried: true,
                read: None,
            }
        }

        fn deaf(&mut self, why: Option<&str>, _: Duration) {
            self.told.lock().unwrap().push(why.map(str::to_owned));
        }
    }

    #[tokio::test]
    async fn who_gives_no_notice_any_more_is_looked_at_now_and_then() {
        let (work, woken) = (Silent::default(), Arc::new(Notify::new()));
        let followed = follow(
            Pace::default(),
            Duration::from_millis(5),
            work.clone(),
            Arc::clone(&woken),
        );
        let wake = async {
            // The first looks need notices.
            while *work.looks.lock().unwrap() <= 5 {
                woken.notify_one();
                work.moved.notified().await;
            }
            while work.ran.lock().unwrap().len() < 2 {
                work.moved.notified().await;
            }
        };
        tokio::select! {
            ended = followed => panic!("{ended:?}"),
            () = wake => {}
        }
        assert_eq!(*work.ran.lock().unwrap(), ["Asked", "Changed"]);
        let told = work.told.lock().unwrap().clone();
        assert_eq!(told, [Some("the socket closed".to_owned())]);
    }
}
