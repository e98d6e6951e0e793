//! What a service manager is told, if there is one (sd_notify(3)).

use std::time::Duration;

use sd_notify::NotifyState;

/// We are about, and policy is in force, or why it is not.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// We leave. What is live stays.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// What `systemctl status` shows: one line, for a second one would be another message.
pub(super) fn status(text: &str) {
    let line = text.replace(char::is_control, " ");
    tell(&[NotifyState::Status(&line)]);
}

/// We are alive.
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often it must hear that, half of what it waits; `None` where it does not ask.
pub(super) fn alive_every() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

/// Who is not run by a service manager has nobody to tell.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("the service manager was not told: {error}");
    }
}
