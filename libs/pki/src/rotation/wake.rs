//! When to ask again though nothing has changed.

use jiff::Timestamp;

use super::view::View;
use super::{begin, phase_out, take_over};

/// The earliest time after now at which time alone changes what a step says.
pub(super) fn wake_at(view: View<'_>) -> Option<Timestamp> {
    let times = take_over::change_at(view).into_iter().chain(phase_out::change_at(view)).chain(begin::schedule(view));
    times.filter(|at| *at > view.now).min()
}
