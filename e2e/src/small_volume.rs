//! A volume that is small enough to be filled: a file system in memory, given to one gateway instead of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::kubectl::{apply, delete, get, kubectl, patch};
use crate::region::NAMESPACE;
use crate::run::{output, run};
use crate::wait::{eventually, holds};

const SOON: Duration = Duration::from_secs(120);

/// The volume of a gateway. Dropping it gives the gateway an ordinary one again.
pub struct SmallVolume {
    gateway: String,
    volume: String,
    folder: PathBuf,
}

impl SmallVolume {
    /// Takes a gateway's volume away, with all that is on it, and gives it one of that many MiB.
    pub fn of(gateway: &str, mebibytes: u32) -> Self {
        let volume = format!("small-{gateway}");
        let folder = Path::new("/run/sallyport-e2e").join(&volume);
        let small = Self { gateway: gateway.to_owned(), volume, folder };
        small.remove();
        fs::create_dir_all(&small.folder).expect("a folder");
        let size = format!("size={mebibytes}m,mode=755");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&small.folder));
        let node = kubectl(&["get", "nodes", "--output", "jsonpath={.items[0].metadata.name}"]);
        let (volume, claim, path) = (&small.volume, small.claim(), small.folder.display());
        // Its capacity is what the claim asks for; how much there is says the file system.
        apply(&format!(
            "apiVersion: v1\nkind: PersistentVolume\nmetadata: {{ name: {volume} }}\nspec:\n  storageClassName: lab-local\n  \
             capacity: {{ storage: 10Gi }}\n  accessModes: [ReadWriteOnce]\n  persistentVolumeReclaimPolicy: Retain\n  \
             claimRef: {{ namespace: {NAMESPACE}, name: {claim} }}\n  local: {{ path: {path} }}\n  nodeAffinity:\n    required:\n      \
             nodeSelectorTerms:\n      - matchExpressions: [{{ key: kubernetes.io/hostname, operator: In, values: [{node}] }}]\n"
        ));
        small.anew(|bound| bound == small.volume);
        small
    }

    /// Writes a file that leaves no room. The file system's own words say when there is none.
    pub fn fill(&self) {
        let _ =
            output(Command::new("dd").args(["if=/dev/zero", "bs=64k"]).arg(format!("of={}", self.junk().display())));
        assert!(fs::metadata(self.junk()).expect("a file").len() > 0, "there was no room before");
    }

    /// Makes room again.
    pub fn empty(&self) {
        fs::remove_file(self.junk()).expect("the file");
    }

    /// The folder, as the node sees it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn junk(&self) -> PathBuf {
        self.folder.join("junk")
    }

    fn claim(&self) -> String {
        format!("data-{}", self.gateway)
    }

    /// The gateway's pod with another volume.
    fn anew(&self, is_right: impl Fn(&str) -> bool) {
        kubectl(&["--namespace", NAMESPACE, "delete", "pvc", &self.claim(), "--wait=false", "--ignore-not-found"]);
        kubectl(&["--namespace", NAMESPACE, "delete", "pod", &self.gateway, "--ignore-not-found"]);
        eventually(SOON, &format!("{} has another volume and is ready", self.gateway), || {
            let bound =
                get(NAMESPACE, "pvc", &self.claim())["spec"]["volumeName"].as_str().unwrap_or_default().to_owned();
            let pod = get(NAMESPACE, "pod", &self.gateway);
            let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let ready = conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
            holds(is_right(&bound) && ready, format!("volume {bound:?}, {conditions:?}"))
        });
    }

    fn remove(&self) {
        if get("", "persistentvolume", &self.volume).is_object() {
            // Nobody may wait for a volume whose claim is gone.
            patch(("", "persistentvolume", &self.volume), &json!({"metadata": {"finalizers": null}}));
            delete("", "persistentvolume", &self.volume);
        }
        while output(Command::new("umount").arg(&self.folder)).status.success() {}
    }
}

impl Drop for SmallVolume {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // What is left tells what happened; the next use puts it away.
            return;
        }
        self.anew(|bound| !bound.is_empty() && bound != self.volume);
        self.remove();
    }
}
