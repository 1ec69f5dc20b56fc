//! What a server that hands over knows of whether the other one has taken its place.
//!
//! A request that was sent and not answered may still be carried out, however late. So this server is the primary again only once none
//! is unanswered, or the other has said that it will carry out none of them.
//!
//! Invariant: of the two, at most one takes writes; what is not known is asked again.

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

/// Begins what the other server says where it does not take over and never will for this handing over, whatever still comes.
pub(crate) const NEVER: &str = "this server does not take over: ";
/// Before the term that such a server knows of, where it is later than that of the one that hands over: somebody is or was a primary after
/// it, which it must not be again.
const LATER: &str = "; later term ";

/// What is said of a later term after why something is refused.
pub(crate) fn later(term: u64) -> String {
    if term == 0 { String::new() } else { format!("{LATER}{term}") }
}

/// The later term of which that says something; 0 where it does not.
pub(crate) fn later_of(why: &str) -> u64 {
    why.rsplit_once(LATER).and_then(|(_, term)| term.trim().parse().ok()).unwrap_or_default()
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Not known.
    Open,
    /// The other one is the primary.
    TakenOver,
    /// It is not and will not be; why.
    Refused(String),
}

/// One handing over.
#[derive(Debug)]
pub(crate) struct HandOver {
    /// Tells it apart from others: what was refused is not carried out when it comes late.
    pub(crate) id: u64,
    /// The other one takes over also where it lacks writes.
    pub(crate) force: bool,
    asked: Mutex<Asked>,
    given_up: Notify,
    outcome: watch::Sender<Outcome>,
}

#[derive(Debug, Default)]
struct Asked {
    /// Requests that were sent and not answered.
    unanswered: u32,
    /// It is to be taken back.
    given_up: bool,
}

impl HandOver {
    /// One that nobody was asked for.
    pub(crate) fn new(id: u64, force: bool) -> HandOver {
        HandOver {
            id,
            force,
            asked: Mutex::default(),
            given_up: Notify::new(),
            outcome: watch::Sender::new(Outcome::Open),
        }
    }

    /// What is known.
    pub(crate) fn outcome(&self) -> Outcome {
        self.outcome.borrow().clone()
    }

    /// A request is about to be sent: whether it is one that takes the others back. None: there is nothing to ask.
    pub(crate) fn ask(&self) -> Option<bool> {
        let mut asked = self.asked.lock();
        if *self.outcome.borrow() != Outcome::Open {
            return None;
        }
        asked.unanswered += 1;
        Some(asked.given_up)
    }

    /// The last request was answered: the other one has taken over, or why it has not.
    pub(crate) fn answered(&self, answer: Result<(), &str>) {
        let mut asked = self.asked.lock();
        asked.unanswered = asked.unanswered.saturating_sub(1);
        match answer {
            Ok(()) => self.settle(Outcome::TakenOver),
            Err(why) if asked.unanswered == 0 || why.contains(NEVER) => self.settle(Outcome::Refused(why.to_owned())),
            // An earlier one may still be carried out.
            Err(_) => {}
        }
    }

    /// Whether the other one has taken over, or may still.
    pub(crate) fn may_have_happened(&self) -> bool {
        match &*self.outcome.borrow() {
            Outcome::TakenOver => true,
            Outcome::Open => self.asked.lock().unanswered > 0,
            Outcome::Refused(_) => false,
        }
    }

    /// It is not wanted any more: where the other one was asked it is asked to let it be.
    pub(crate) fn give_up(&self) {
        let mut asked = self.asked.lock();
        asked.given_up = true;
        if asked.unanswered == 0 {
            self.settle(Outcome::Refused("it was given up".to_owned()));
        }
        self.given_up.notify_one();
    }

    /// Returns once it is not wanted any more, at each [`HandOver::give_up`] once.
    pub(crate) async fn until_given_up(&self) {
        self.given_up.notified().await;
    }

    /// Returns with what became of it.
    pub(crate) async fn until_known(&self) -> Outcome {
        let mut outcome = self.outcome.subscribe();
        let known = outcome.wait_for(|outcome| *outcome != Outcome::Open).await;
        known.map_or(Outcome::Open, |known| known.clone())
    }

    fn settle(&self, outcome: Outcome) {
        self.outcome.send_if_modified(|now| {
            let first = *now == Outcome::Open;
            if first {
                *now = outcome;
            }
            first
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_may_tell_of_a_later_term() {
        assert_eq!(later_of("no"), 0);
        assert_eq!(later_of(&format!("ERR {NEVER}no{}", later(0))), 0);
        assert_eq!(later_of(&format!("ERR {NEVER}no{}", later(u64::MAX))), u64::MAX);
    }

    #[test]
    fn an_answer_to_the_only_request_decides() {
        let taken = HandOver::new(7, false);
        assert_eq!(taken.ask(), Some(false));
        assert!(taken.may_have_happened());
        taken.answered(Ok(()));
        assert_eq!((taken.outcome(), taken.ask()), (Outcome::TakenOver, None));
        let refused = HandOver::new(7, false);
        refused.ask();
        refused.answered(Err("LOADING"));
        assert_eq!(refused.outcome(), Outcome::Refused("LOADING".to_owned()));
    }

    #[test]
    fn a_request_whose_answer_was_lost_is_asked_for_again() {
        let handover = HandOver::new(7, false);
        handover.ask();
        handover.ask();
        handover.answered(Err("ERR busy"));
        assert_eq!(handover.outcome(), Outcome::Open, "the first may still be carried out");
        handover.ask();
        handover.answered(Err("ERR this server does not take over: no"));
        assert!(matches!(handover.outcome(), Outcome::Refused(_)), "now it will not");
    }

    #[test]
    fn what_is_given_up_is_taken_back_where_it_was_asked_for() {
        let handover = HandOver::new(7, false);
        handover.give_up();
        assert_eq!(handover.ask(), None);
        assert!(matches!(handover.outcome(), Outcome::Refused(_)), "nobody was asked");
        let handover = HandOver::new(7, false);
        handover.ask();
        handover.give_up();
        assert_eq!((handover.ask(), handover.outcome()), (Some(true), Outcome::Open));
        handover.answered(Ok(()));
        assert_eq!(handover.outcome(), Outcome::TakenOver, "it was too late");
    }
}
