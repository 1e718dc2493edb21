//! Who listens, and who holds a connection, whatever the path is called.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use ganeti_hv_kvm::sockets::{Holders, SocketFile, Table, listener};
use tempfile::TempDir;

fn ours() -> i32 {
    i32::try_from(std::process::id()).unwrap()
}

fn clients(path: &Path) -> Vec<u32> {
    let file = SocketFile::at(path).unwrap().unwrap();
    Table::read().unwrap().clients(file, path)
}

#[test]
fn a_listener_is_found_by_each_spelling_of_its_path() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("qmp");
    let bound = UnixListener::bind(&path).unwrap();
    std::os::unix::fs::symlink(&path, folder.path().join("link")).unwrap();
    let dotted = folder
        .path()
        .join(".")
        .join("..")
        .join(folder.path().file_name().unwrap());
    for spelling in [&path, &folder.path().join("link"), &dotted.join("qmp")] {
        assert_eq!(
            listener(spelling),
            Ok(Some(ours())),
            "{}",
            spelling.display()
        );
    }
    fs::rename(&path, folder.path().join("moved")).unwrap();
    assert_eq!(listener(&path), Ok(None));
    assert_eq!(listener(&folder.path().join("moved")), Ok(Some(ours())));
    drop(bound);
    assert_eq!(listener(&folder.path().join("moved")), Ok(None));
}

#[test]
fn nobody_listens_where_nobody_can() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(listener(&file), Ok(None));
    assert_eq!(listener(folder.path()), Ok(None));
    assert_eq!(listener(&folder.path().join("none")), Ok(None));
    assert_eq!(listener(&folder.path().join("x".repeat(300))), Ok(None));
    assert!(listener(&file.join("below")).is_err());
}

#[test]
fn only_a_client_that_was_accepted_holds_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("qmp");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let bound = UnixListener::bind(&path).unwrap();
    let waiting = UnixStream::connect(&link).unwrap();
    assert!(clients(&path).is_empty());
    let accepted = bound.accept().unwrap();
    for spelling in [&path, &link] {
        let found = clients(spelling);
        assert_eq!(found.len(), 1);
        let holders = Holders::of(&found);
        assert_eq!(
            holders.first(found.iter().copied().next().unwrap()),
            Some(ours())
        );
    }
    drop((waiting, accepted));
    assert!(clients(&path).is_empty());
    assert_eq!(Holders::of(&[0]).first(0), None);
}
