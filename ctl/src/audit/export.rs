//! `audit export`: from the inner door into a folder, and then verified like anybody else's.

use std::fs;
use std::io;
use std::path::Path;

use sallyport_audit::export::{Trust, verify};
use tokio::sync::mpsc;

use super::folder::Folder;
use super::unpack::{self, Chunks};
use super::{blocking, verdict};
use crate::cli::Format;
use crate::cli::audit::Export;
use crate::door::Door;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::words;

/// Chunks on their way to the disk: a few hundred KB.
const ON_THE_WAY: usize = 16;

pub(crate) async fn run(door: &mut Door, wish: Export, format: Format) -> Result<(), Failure> {
    if wish.to <= wish.from {
        return Err(Failure::Usage(format!("--to {} must be later than --from {}", wish.to, wish.from)));
    }
    prepare(&wish.folder)?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(site) = &wish.site {
        query.append_pair("site", &site.to_string());
    }
    query.append_pair("from", &wish.from.to_string()).append_pair("to", &wish.to.to_string());
    let mut download = door.download(&format!("/v1/audit/export?{}", query.finish())).await?;

    let (sender, receiver) = mpsc::channel(ON_THE_WAY);
    let folder = wish.folder.clone();
    let unpacking = tokio::spawn(blocking(move || unpack::unpack(Chunks::new(receiver), &folder)));
    let mut received = Ok(());
    loop {
        match download.next().await {
            Ok(Some(chunk)) => {
                if sender.send(chunk).await.is_err() {
                    break; // whoever unpacks has stopped, and says why
                }
            }
            Ok(None) => break,
            Err(failure) => {
                received = Err(failure);
                break;
            }
        }
    }
    drop(sender);
    let unpacked = unpacking.await.unwrap_or_else(|error| {
        Err(Failure::Local { what: "cannot unpack".to_owned(), source: io::Error::other(error) })
    });
    // A download that broke off explains what unpacking found wrong.
    let kept = received.and(unpacked);
    let unpacked = kept.inspect_err(|_| {
        output::say(&format!("note: {} holds a part of an export, which proves nothing", wish.folder.display()));
    })?;
    output::say(&format!(
        "{} files, {}, written to {}",
        unpacked.files,
        words::size(unpacked.bytes),
        wish.folder.display()
    ));
    check(wish, format).await
}

async fn check(wish: Export, format: Format) -> Result<(), Failure> {
    if wish.verifier.is_empty() {
        output::say("note: it was not verified; give --verifier, or: sallyportctl audit verify DIR --key VERIFIER");
        return Ok(());
    }
    blocking(move || {
        let trust = Trust { keys: &wish.verifier, witnesses: &[], known: &[] };
        verdict::tell(&wish.folder, &verify(&Folder::new(&wish.folder), trust), &Output::new(format))
    })
    .await
}

/// An empty folder: files of two exports in one would be a folder that does not hold.
fn prepare(folder: &Path) -> Result<(), Failure> {
    let refused = |source| Failure::Local { what: format!("cannot write to {}", folder.display()), source };
    fs::create_dir_all(folder).map_err(refused)?;
    match fs::read_dir(folder).map_err(refused)?.next() {
        None => Ok(()),
        Some(_) => Err(Failure::Usage(format!("{} is not empty; name a new folder", folder.display()))),
    }
}
