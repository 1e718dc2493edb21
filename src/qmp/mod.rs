//! The QEMU Machine Protocol: a client that always ends in time and says what it knows.
//!
//! From below: [`codec`] cuts bytes into lines, [`message`] takes them apart, [`command`] writes
//! those that go out as far as [`outgoing`] lets them, [`session`] knows whose reply it is, [`transport`] owns the socket,
//! [`client`] joins the two, and [`connection`] lets threads take turns. [`unplug`] takes devices
//! out of a guest; [`fleet`] asks many monitors at once.

pub mod client;
pub mod codec;
pub mod command;
pub mod connection;
pub mod deadline;
pub mod error;
pub mod fleet;
pub mod foreign_text;
pub mod message;
pub mod outgoing;
pub mod peer_state;
pub mod secrets;
pub mod session;
mod to_error;
pub mod transport;
pub mod unplug;

pub use connection::{Call, Connection, Info};
pub use deadline::{Deadline, Interrupt, Interrupted, Never};
pub use error::{ErrorKind, PeerState, QmpError};
pub use transport::Wait;
