//! A real volume that is really full. Needs root, to mount a small file system; without, it says so and does nothing.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::support::*;
use crate::audit::disk::Volume;
use crate::audit::{AuditError, Health};

struct Mounted(tempfile::TempDir);

impl Mounted {
    fn small() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "sallyport-test"]).arg(folder.path()).output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(folder)),
            other => {
                tracing::error!(?other, "mount failed");
                #[allow(clippy::print_stderr, reason = "a test that was not made must not look like one that passed")]
                {
                    eprintln!("SKIPPED: this test needs root to mount a small tmpfs");
                }
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

/// Takes all room that is left; removing the file gives it back.
fn fill(ballast: &Path) {
    let mut file = std::fs::File::create(ballast).unwrap();
    while std::io::Write::write_all(&mut file, &[7; 4096]).is_ok() {}
}

#[tokio::test]
async fn a_full_volume_closes_the_log_and_room_opens_it() {
    let Some(volume) = Mounted::small() else { return };
    let ballast = volume.path().join("ballast");
    let open = || open_at(volume.path(), Box::new(Volume), FILE, Duration::from_secs(5));
    let audit = open().unwrap();
    assert!(*audit.watch_volume().borrow() > 0);
    // Somebody else takes what is left.
    fill(&ballast);
    while audit.health() == Health::Open {
        audit.append(denied("ada@vendor.example")).await.unwrap();
    }
    assert_eq!(audit.health(), Health::Full);
    audit.append(ended()).await.unwrap();
    assert_eq!(audit.append_while_open(started()).await.unwrap_err(), AuditError::Closed(Health::Full));
    eventually("it is seen", || *audit.watch_volume().borrow() == 100).await;
    std::fs::remove_file(&ballast).unwrap();
    eventually("it opens", || audit.health() == Health::Open).await;
    audit.append_while_open(started()).await.unwrap();
    let labels: Vec<_> = records(volume.path()).iter().map(|record| record.event.label()).collect();
    for label in ["capacityAlarm", "logDegraded", "sessionEnded", "logRecovered"] {
        assert!(labels.contains(&label), "{label}");
    }
    drop(audit);
    // A volume with no room at all is no start.
    std::fs::remove_dir_all(volume.path().join("audit")).unwrap();
    fill(&ballast);
    assert!(matches!(open().err(), Some(AuditError::Open { .. })));
}
