//! Taking a device out of a running guest, and closing what stood behind it.
//!
//! The guest has the last word: QEMU asks it to let go (`device_del`), and it may do so at once,
//! later or never. Only when it has may the backend go; without that, a disk would be torn from
//! under a file system. Each operation looks first at what is left to do, so it can be given again
//! after any outcome, and holds the connection from its first command to its last.

use std::thread;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::client::Client;
use super::connection::Connection;
use super::error::{ErrorKind, QmpError, Result};
use super::foreign_text::printable;
use super::message::{Kind, Message};
use super::transport::Wait;

const DELETED: &str = "DEVICE_DELETED";
const REFUSED: &str = "DEVICE_UNPLUG_GUEST_ERROR";
/// QEMU frees a device a moment after its event, and only then lets go of the backend.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What became of the request to release a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// The guest does not have the device any more, or never had it.
    Released,
    /// The guest refuses; it has the device as before.
    RefusedByGuest,
    /// The guest said nothing in time; it has the device, and may still release it.
    Silent,
    /// QEMU did not ask the guest: its words.
    NotAsked(String),
}

/// What became of the storage of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closing {
    /// It is closed, or there was none.
    Closed,
    /// The guest still has the disk: its storage was left alone.
    InUse,
    /// Something in QEMU still holds it: what.
    Held(String),
}

impl Connection {
    /// Asks the guest to let go of a device, and waits until it has, at most `patience`.
    ///
    /// # Errors
    /// Whatever [`ErrorKind`] fits; `wait` is for all of it.
    pub fn release_device(
        &self,
        device: &str,
        patience: Duration,
        wait: &Wait<'_>,
    ) -> Result<Release> {
        self.run(wait, |client, wait| release(client, device, patience, wait))
    }

    /// Closes the storage of a disk whose device has gone, within `patience`.
    ///
    /// # Errors
    /// Whatever [`ErrorKind`] fits; `wait` is for all of it.
    pub fn close_storage(
        &self,
        disk: &str,
        patience: Duration,
        wait: &Wait<'_>,
    ) -> Result<Closing> {
        self.run(wait, |client, wait| close(client, disk, patience, wait))
    }
}

fn release(
    client: &mut Client,
    device: &str,
    patience: Duration,
    wait: &Wait<'_>,
) -> Result<Release> {
    let names = [DELETED.to_owned(), REFUSED.to_owned()];
    let now = wait.at_most(Duration::ZERO);
    // An earlier device of this name, or an earlier request, has nothing to say of this one.
    while client
        .wait_for_event(Some(&names), Some(device), &now)?
        .is_some()
    {}
    if !has_device(client, device, wait)? {
        return Ok(Release::Released);
    }
    match execute(client, "device_del", &json!({"id": device}), wait) {
        Err(QmpError {
            kind: ErrorKind::Refused { class, desc, .. },
            ..
        }) => {
            if class == "DeviceNotFound" {
                return Ok(Release::Released);
            }
            if !desc.contains("already in the process of unplug") {
                return Ok(Release::NotAsked(desc));
            }
        }
        reply => drop(reply?),
    }
    let patience = wait.at_most(patience);
    let event = client.wait_for_event(Some(&names), Some(device), &patience)?;
    Ok(match event.map(|message| message.kind) {
        Some(Kind::Event(event)) if event.name == REFUSED => Release::RefusedByGuest,
        // Its event may have been lost in a flood of others.
        None if has_device(client, device, wait)? => Release::Silent,
        _ => Release::Released,
    })
}

fn close(client: &mut Client, disk: &str, patience: Duration, wait: &Wait<'_>) -> Result<Closing> {
    if has_device(client, disk, wait)? {
        return Ok(Closing::InUse);
    }
    let patience = wait.at_most(patience);
    while let Some(why) = try_to_close(client, disk, wait)? {
        if patience.deadline.passed() {
            return Ok(Closing::Held(why));
        }
        thread::sleep(LOOK_AGAIN);
    }
    remove_fdsets(client, disk, wait)?;
    Ok(Closing::Closed)
}

/// What is in the way; None when the disk has no storage any more.
fn try_to_close(client: &mut Client, disk: &str, wait: &Wait<'_>) -> Result<Option<String>> {
    // A legacy drive (-drive, drive_add) goes with its device, unless that was refused; it has no
    // command of its own in QMP.
    let drives: Vec<Drive> = ask(client, "query-block", None, wait)?;
    if let Some(drive) = drives.into_iter().find(|drive| drive.device == disk) {
        if let Some(user) = drive.qdev.filter(|user| !user.is_empty()) {
            return Ok(Some(format!("{user} uses it")));
        }
        let line = json!({"command-line": format!("drive_del {disk}")});
        let said: String = ask(client, "human-monitor-command", Some(&line), wait)?;
        let said = said.trim();
        return Ok((!said.is_empty()).then(|| printable(said)));
    }
    // Of block nodes (-blockdev, blockdev-add) QEMU removes nothing by itself.
    let nodes: Vec<Node> = ask(client, "query-named-block-nodes", None, wait)?;
    if !nodes.iter().any(|node| node.node_name == disk) {
        return Ok(None);
    }
    match execute(client, "blockdev-del", &json!({"node-name": disk}), wait) {
        Err(QmpError {
            kind: ErrorKind::Refused { desc, .. },
            ..
        }) => Ok(Some(desc)),
        reply => reply.map(|_| None),
    }
}

/// Closes the descriptors that were handed over for this disk and not taken back.
fn remove_fdsets(client: &mut Client, disk: &str, wait: &Wait<'_>) -> Result<()> {
    let sets: Vec<FdSet> = ask(client, "query-fdsets", None, wait)?;
    let of_disk = |set: &&FdSet| {
        let mut opaques = set.fds.iter().map(|fd| fd.opaque.as_deref());
        opaques.any(|opaque| opaque == Some(disk))
    };
    for set in sets.iter().filter(of_disk) {
        execute(client, "remove-fd", &json!({"fdset-id": set.id}), wait)?;
    }
    Ok(())
}

fn has_device(client: &mut Client, device: &str, wait: &Wait<'_>) -> Result<bool> {
    let path = json!({"path": "/machine/peripheral"});
    let children: Vec<Child> = ask(client, "qom-list", Some(&path), wait)?;
    let mut devices = children
        .iter()
        .filter(|child| child.type_name.starts_with("child<"));
    Ok(devices.any(|child| child.name == device))
}

fn execute(
    client: &mut Client,
    command: &str,
    arguments: &Value,
    wait: &Wait<'_>,
) -> Result<Message> {
    client.execute(command, Some(&arguments.to_string()), &[], wait)
}

fn ask<T: DeserializeOwned>(
    client: &mut Client,
    command: &str,
    arguments: Option<&Value>,
    wait: &Wait<'_>,
) -> Result<T> {
    let arguments = arguments.map(Value::to_string);
    let reply = client.execute(command, arguments.as_deref(), &[], wait)?;
    client.read(command, &reply)
}

#[derive(Deserialize)]
struct Child {
    name: String,
    #[serde(rename = "type")]
    type_name: String,
}

#[derive(Deserialize)]
struct Drive {
    device: String,
    #[serde(default)]
    qdev: Option<String>,
}

#[derive(Deserialize)]
struct Node {
    #[serde(rename = "node-name", default)]
    node_name: String,
}

#[derive(Deserialize)]
struct FdSet {
    #[serde(rename = "fdset-id")]
    id: i64,
    #[serde(default)]
    fds: Vec<Fd>,
}

#[derive(Deserialize)]
struct Fd {
    #[serde(default)]
    opaque: Option<String>,
}
