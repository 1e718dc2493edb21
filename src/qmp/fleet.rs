//! Many monitors asked at once, by one loop: guests that hang cost one deadline together.
//!
//! Queries are sent at once, without waiting for the greeting: that spares each QEMU a wait. A
//! monitor that serves another client, or whose process is stopped, finds them in its socket when
//! we have long gone, and answers nobody. A command that changes something must not be carried
//! out so late: then nothing is sent before the greeting.

mod answer;
mod budget;
mod guest_session;
mod look;

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollTimeout};

use super::deadline::Interrupted;
use super::error::{ErrorKind, PeerState, QmpError, Result};
use super::peer_state::{self, Sockets};
use super::to_error::{at, why_not_connected};
use super::transport::{Ended, Wait};
use crate::errno;
pub use answer::{Answer, Guest, Question, Verdict};
use budget::{Budget, most_at_once};
use guest_session::GuestSession;
use look::{ProcessState, event, stopped};

/// The largest message that a guest may send unless another limit is set: 1 MiB. What a listing
/// asks is answered by some hundred bytes for each vCPU.
pub const DEFAULT_LIMIT: usize = 1 << 20;
/// What the answers of all guests may take together.
const MOST_BYTES: usize = 64 << 20;

/// When nobody has said anything for this long, whoever is silent is looked at from outside; then
/// again, ever less often. As long as answers come, looking would only delay them.
const FIRST_LOOK: Duration = Duration::from_millis(10);
/// But no longer than this, because somebody may never stop asked.
const LONGEST_LOOK: Duration = Duration::from_millis(250);

/// Asks all guests the same questions. Their answers come in the order of the guests.
///
/// As many are asked at once as half of the process's limit of descriptors allows.
///
/// # Errors
/// [`ErrorKind::Interrupted`], and [`ErrorKind::Usage`] if no descriptor is left for the loop
/// itself. What is wrong with a guest is in its answer.
pub fn query(
    guests: &[Guest],
    questions: &[Question],
    limit: usize,
    wait: &Wait<'_>,
) -> Result<Vec<Answer>> {
    let known = guests.iter().map(|guest| guest.pid).collect();
    let mut fleet = Fleet::new(guests, questions, limit, known)?;
    fleet.start_some();
    fleet.run(wait)?;
    Ok(fleet.give_up(wait))
}

/// The same, where it takes time to find the guests' processes: `find_pids` is called when the
/// guests have been asked, and works while they do. A guest without a process is gone.
///
/// # Errors
/// As above; also [`ErrorKind::Interrupted`] where `find_pids` says so.
pub fn query_and_find(
    guests: &[Guest],
    questions: &[Question],
    limit: usize,
    wait: &Wait<'_>,
    find_pids: impl FnOnce() -> std::result::Result<Vec<Option<i32>>, Interrupted>,
) -> Result<Vec<Answer>> {
    let unknown = vec![None; guests.len()];
    let mut fleet = Fleet::new(guests, questions, limit, unknown)?;
    fleet.start_some();
    fleet.take_pids(find_pids().map_err(|_| interrupted())?);
    fleet.run(wait)?;
    Ok(fleet.give_up(wait))
}

fn interrupted() -> QmpError {
    QmpError::new("of any guest".to_owned(), ErrorKind::Interrupted)
}

struct Fleet<'a> {
    guests: &'a [Guest],
    /// The processes that are known by now.
    pids: Vec<Option<i32>>,
    questions: &'a [Question],
    limit: usize,
    early: bool,
    epoll: Epoll,
    most: usize,
    /// Waiting for a descriptor.
    untried: VecDeque<usize>,
    /// Stopped as it seems, or with a full queue of clients: tried again at the next look.
    found_stopped: Vec<usize>,
    sessions: Vec<Option<GuestSession<'a>>>,
    answers: Vec<Option<Answer>>,
    seen_stopped: Vec<bool>,
    asked: usize,
    missing: usize,
    budget: Budget,
}

impl<'a> Fleet<'a> {
    fn new(
        guests: &'a [Guest],
        questions: &'a [Question],
        limit: usize,
        pids: Vec<Option<i32>>,
    ) -> Result<Self> {
        for question in questions {
            question.check()?;
        }
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(|errno| {
            let why = errno::text(errno);
            QmpError::new("any guest".to_owned(), ErrorKind::Usage { why })
        })?;
        Ok(Self {
            guests,
            pids,
            questions,
            limit,
            early: questions.iter().all(Question::only_looks),
            epoll,
            most: most_at_once(),
            untried: (0..guests.len()).collect(),
            found_stopped: Vec::new(),
            sessions: guests.iter().map(|_| None).collect(),
            answers: guests.iter().map(|_| None).collect(),
            seen_stopped: vec![false; guests.len()],
            asked: 0,
            missing: guests.len(),
            budget: Budget::new(guests.len(), MOST_BYTES.max(limit)),
        })
    }

    /// Takes the guests' processes; whoever has none is not waited for.
    fn take_pids(&mut self, pids: Vec<Option<i32>>) {
        for index in 0..pids.len() {
            if let Some(None) = pids.get(index) {
                let why = "the guest has no process".to_owned();
                self.fail(index, Verdict::Gone, ErrorKind::Connect { why });
            }
        }
        self.pids = pids;
    }

    fn pid(&self, index: usize) -> Option<i32> {
        self.pids.get(index).copied().flatten()
    }

    fn run(&mut self, wait: &Wait<'_>) -> Result<()> {
        let room = self.guests.len().clamp(1, 1024);
        let mut events = vec![EpollEvent::empty(); room];
        let mut pause = FIRST_LOOK;
        let mut last_look = Instant::now();
        let mut next_look = last_look + pause;
        while self.missing > 0 {
            let until_look = next_look.saturating_duration_since(Instant::now());
            let millis = until_look.min(wait.deadline.slice()).as_millis() + 1;
            let timeout = EpollTimeout::from(u8::try_from(millis).unwrap_or(u8::MAX));
            let count = self.epoll.wait(&mut events, timeout).unwrap_or_default();
            for event in events.iter().take(count) {
                self.step(usize::try_from(event.data()).unwrap_or(usize::MAX));
            }
            self.start_some();
            let looked = if count == 0 {
                wait.look()
            } else {
                wait.look_now_and_then()
            };
            match looked {
                Ok(_) => {}
                Err(Ended::TimedOut) => return Ok(()),
                Err(_) => return Err(interrupted()),
            }
            let now = Instant::now();
            if count > 0 {
                next_look = (now + pause).min(last_look + LONGEST_LOOK);
            }
            if now >= next_look {
                self.look_around();
                last_look = Instant::now();
                next_look = last_look + pause;
                pause = (pause * 2).min(LONGEST_LOOK);
            }
        }
        Ok(())
    }

    /// Starts with as many guests as there are descriptors for.
    fn start_some(&mut self) {
        while self.asked < self.most {
            let Some(index) = self.untried.pop_front() else {
                return;
            };
            if !self.start(index) {
                self.untried.push_front(index);
                return;
            }
        }
    }

    /// Starts with a guest; false if no descriptor is left.
    fn start(&mut self, index: usize) -> bool {
        let (Some(guest), Some(None)) = (self.guests.get(index), self.answers.get(index)) else {
            return true;
        };
        match self.process_state(index, self.pid(index)) {
            ProcessState::Runs => {}
            ProcessState::Stopped => {
                self.found_stopped.push(index);
                return true;
            }
            ProcessState::StillStopped(pid) => {
                let why = stopped(pid);
                self.fail(index, Verdict::Stopped, ErrorKind::Connect { why });
                return true;
            }
        }
        match GuestSession::start(&guest.path, self.limit, self.questions, self.early) {
            Ok(Some(session)) => self.listen_to(index, session),
            Ok(None) => self.found_stopped.push(index),
            Err(Errno::EMFILE | Errno::ENFILE) => return false,
            Err(errno) => {
                let verdict = match errno {
                    Errno::ENOENT | Errno::ECONNREFUSED => Verdict::Gone,
                    _ => Verdict::Broken,
                };
                let why = why_not_connected(&guest.path, errno);
                self.fail(index, verdict, ErrorKind::Connect { why });
            }
        }
        true
    }

    fn listen_to(&mut self, index: usize, session: GuestSession<'a>) {
        let event = event(index, false);
        if let Err(errno) = self.epoll.add(&session, event) {
            let why = errno::text(errno);
            self.fail(index, Verdict::Broken, ErrorKind::Connect { why });
        } else if let Some(place) = self.sessions.get_mut(index) {
            *place = Some(session);
            self.asked += 1;
        }
    }

    /// Goes on with a guest as far as that needs no waiting.
    fn step(&mut self, index: usize) {
        let Some(session) = self.sessions.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let was_writing = session.is_writing();
        let stepped = session.step();
        self.budget.set(index, session.held_bytes());
        while let Some(worst) = self.budget.who_holds_too_much() {
            self.cut(worst);
        }
        let Some(session) = self.sessions.get(index).and_then(Option::as_ref) else {
            return;
        };
        match stepped {
            Ok(true) => self.finish(index, Verdict::Answered, None),
            Err(kind) => {
                let verdict = match session.pid().map(peer_state::process_state) {
                    Some(PeerState::Gone(_) | PeerState::Zombie(_)) => Verdict::Gone,
                    _ => Verdict::Broken,
                };
                self.fail(index, verdict, kind);
            }
            Ok(false) if session.is_writing() == was_writing => {}
            Ok(false) => {
                let mut event = event(index, session.is_writing());
                if let Err(errno) = self.epoll.modify(session, &mut event) {
                    let kind = session.lost(errno::text(errno));
                    self.fail(index, Verdict::Broken, kind);
                }
            }
        }
    }

    /// Tries again with those held back, and finds the stopped ones among the silent.
    fn look_around(&mut self) {
        for index in std::mem::take(&mut self.found_stopped) {
            if !self.start(index) {
                self.untried.push_back(index);
            }
        }
        for index in 0..self.sessions.len() {
            let session = self.sessions.get(index).and_then(Option::as_ref);
            let pid = session.and_then(GuestSession::pid);
            if let ProcessState::StillStopped(pid) = self.process_state(index, pid) {
                // What it said before it was stopped counts.
                self.step(index);
                if let Some(Some(session)) = self.sessions.get(index) {
                    let kind = session.lost(stopped(pid));
                    self.fail(index, Verdict::Stopped, kind);
                }
            }
        }
    }

    /// Whether a process is stopped. Once is not enough: a debugger stops it for moments.
    fn process_state(&mut self, index: usize, pid: Option<i32>) -> ProcessState {
        let Some(pid) = pid else {
            return ProcessState::Runs;
        };
        let now = matches!(peer_state::process_state(pid), PeerState::Stopped(_));
        let before = self.seen_stopped.get_mut(index);
        let before = before.is_some_and(|before| std::mem::replace(before, now));
        match (before, now) {
            (true, true) => ProcessState::StillStopped(pid),
            (false, true) => ProcessState::Stopped,
            (_, false) => ProcessState::Runs,
        }
    }

    /// The time is over: says of each guest that did not answer what can be known of it.
    fn give_up(mut self, wait: &Wait<'_>) -> Vec<Answer> {
        let sockets = OnceCell::new();
        for (index, guest) in self.guests.iter().enumerate() {
            let session = match (self.sessions.get(index), self.answers.get(index)) {
                (Some(session), Some(None)) => session.as_ref(),
                _ => continue,
            };
            let pid = session.map_or(self.pid(index), GuestSession::pid);
            let greeted = session.is_some_and(GuestSession::has_greeted);
            let look = || sockets.get_or_init(Sockets::look);
            let peer = peer_state::state_among(look, &guest.path, pid, greeted);
            let verdict = match peer {
                PeerState::HeldByAnother(_) => Verdict::Busy,
                PeerState::Stopped(_) => Verdict::Stopped,
                PeerState::Gone(_) | PeerState::Zombie(_) => Verdict::Gone,
                PeerState::Silent(_) | PeerState::Unknown => Verdict::Silent,
            };
            let kind = ErrorKind::TimedOut {
                doing: session.map_or_else(|| "connecting".to_owned(), GuestSession::doing),
                limit: wait.deadline.limit(),
                peer,
            };
            self.fail(index, verdict, kind);
        }
        self.answers.into_iter().flatten().collect()
    }

    /// Forgets all that a guest said: it said too much.
    fn cut(&mut self, index: usize) {
        let why = format!(
            "the answers of all guests together have more than {} bytes, and this one most",
            self.budget.most()
        );
        let broken = || ErrorKind::Protocol { why: why.clone() };
        self.fail(index, Verdict::Broken, broken());
        let path = self.guests.get(index).map(|guest| &guest.path);
        if let (Some(Some(answer)), Some(path)) = (self.answers.get_mut(index), path) {
            answer.replies.clear();
            answer.verdict = Verdict::Broken;
            answer.error = Some(at(path, broken()));
        }
        self.budget.set(index, 0);
    }

    fn fail(&mut self, index: usize, verdict: Verdict, kind: ErrorKind) {
        if let Some(guest) = self.guests.get(index) {
            self.finish(index, verdict, Some(at(&guest.path, kind)));
        }
    }

    fn finish(&mut self, index: usize, verdict: Verdict, error: Option<QmpError>) {
        let session = self.sessions.get_mut(index).and_then(Option::take);
        let mut answer = Answer {
            verdict,
            pid: session.as_ref().and_then(GuestSession::pid),
            replies: Vec::new(),
            error,
        };
        if let Some(session) = session {
            // Closing would not do: in a child that another thread forked it stays open.
            let _ = self.epoll.delete(&session);
            self.budget.set(index, session.reply_bytes());
            self.asked -= 1;
            answer.replies = session.into_replies();
        }
        let place = self.answers.get_mut(index);
        if place.is_some_and(|place| place.replace(answer).is_none()) {
            self.missing -= 1;
        }
    }
}
