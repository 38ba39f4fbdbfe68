//! Paths in the archive (docs/design/audit.md). Each is made of parsed names, so none can lead out of its folder, and a
//! site's log has no path but that of its own site.

use object_store::path::Path;
use sallyport_audit::tlog::tile::Tile;
use sallyport_audit::{Incarnation, Keeper, Origin, Scope, Subject};
use sallyport_core::name::{Name, RegionId};

/// Logs of all gateways of a region.
pub fn logs(region: &RegionId) -> Path {
    Path::from(format!("{region}/logs"))
}

/// Incarnations of one gateway.
pub fn gateway(region: &RegionId, gateway: &Name) -> Path {
    Path::from(format!("{region}/logs/{gateway}"))
}

/// All logs of an incarnation.
pub fn incarnation(keeper: &Keeper) -> Path {
    let Keeper { region, gateway, incarnation } = keeper;
    Path::from(format!("{region}/logs/{gateway}/{incarnation}"))
}

/// How far an incarnation's journal is archived.
pub fn state(keeper: &Keeper) -> Path {
    incarnation(keeper).join("state.json")
}

/// One log.
pub fn log(origin: &Origin) -> Path {
    let keeper = incarnation(&origin.keeper);
    match &origin.scope {
        Scope::Region => keeper.join("region"),
        Scope::Site(site) => Path::from(format!("{keeper}/site/{site}")),
    }
}

/// The newest checkpoint of a log.
pub fn checkpoint(origin: &Origin) -> Path {
    log(origin).join("checkpoint")
}

/// A tile of a log.
pub fn tile(origin: &Origin, tile: Tile) -> Path {
    Path::from(format!("{}/{tile}", log(origin)))
}

/// The folder of the partial tiles of this level and index.
pub fn partials(origin: &Origin, tile: Tile) -> Path {
    Path::from(format!("{}/{}.p", log(origin), tile.filled()))
}

/// Entry bundles of a log.
pub fn bundles(origin: &Origin) -> Path {
    Path::from(format!("{}/tile/entries", log(origin)))
}

/// The tile that a path of a log names; nothing for other paths.
pub fn tile_at(origin: &Origin, path: &Path) -> Option<Tile> {
    path.as_ref().strip_prefix(log(origin).as_ref())?.strip_prefix('/')?.parse().ok()
}

/// What did not fit of a region.
pub fn evidence(region: &RegionId) -> Path {
    Path::from(format!("{region}/evidence"))
}

/// What did not fit of an incarnation.
pub fn evidence_of(keeper: &Keeper) -> Path {
    let Keeper { region, gateway, incarnation } = keeper;
    Path::from(format!("{region}/evidence/{gateway}/{incarnation}"))
}

/// All persons of a region.
pub fn persons(region: &RegionId) -> Path {
    Path::from(format!("keys/{region}"))
}

/// A person's keys.
pub fn person(region: &RegionId, subject: Subject) -> Path {
    Path::from(format!("keys/{region}/{subject}.json"))
}

/// The gateway and incarnation of a path below [`logs`] or [`evidence`].
pub fn keeper_at(region: &RegionId, below: &Path, path: &Path) -> Option<Keeper> {
    let mut parts = path.as_ref().strip_prefix(below.as_ref())?.strip_prefix('/')?.split('/');
    let gateway: Name = parts.next()?.parse().ok()?;
    let incarnation: Incarnation = parts.next()?.parse().ok()?;
    Some(Keeper { region: region.clone(), gateway, incarnation })
}
