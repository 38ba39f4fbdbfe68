use object_store::path::Path;

use super::*;

#[test]
fn flags_name_places_or_are_refused() {
    let of = |archive: Option<&str>, keys: Option<&str>| Wish::of(archive, keys, LockWish::Required);
    assert!(of(None, None).unwrap().is_none());
    assert!(of(Some(""), Some("file:///x")).unwrap().is_none(), "a chart writes nothing as an empty value");
    let wish = of(Some("file:///a/b"), None).unwrap().unwrap();
    assert_eq!(wish.records, wish.keys);
    let wish = of(Some("s3://bucket/a/b/"), Some("file:///keys")).unwrap().unwrap();
    assert_eq!(wish.records.to_string(), "s3://bucket/a/b");
    assert_eq!(wish.keys, Location::Folder("/keys".into()));
    assert_eq!(of(Some("s3://bucket"), None).unwrap_err(), LocationError::NoKeys);
    assert_eq!(of(Some("s3://bucket/a"), Some("s3://bucket/a/")).unwrap_err(), LocationError::NoKeys);
    for bad in [
        "file://relative",
        "/path",
        "s3://",
        "s3://ab",
        "s3://Bucket",
        "s3://bucket/../x",
        "http://x",
        "s3://bucket/a//b",
    ] {
        assert!(of(Some(bad), Some("file:///k")).is_err(), "{bad}");
    }
}

async fn opened(folder: &std::path::Path) -> Result<Archive, ProbeError> {
    let wish = Wish::of(Some(&format!("file://{}", folder.display())), None, LockWish::Required).unwrap().unwrap();
    Archive::open(&wish, &Fence::leading()).await
}

#[tokio::test]
async fn what_exists_is_not_written_over_by_creating_and_a_deletion_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let archive = opened(folder.path()).await.unwrap();
    assert_eq!(archive.lock, Lock::Volume);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the probe leaves nothing");
    let (store, path) = (&archive.records, Path::from("a/b/c"));
    assert_eq!(store.get(&path).await.unwrap(), None);
    assert_eq!(store.create(&path, b"one".to_vec()).await.unwrap(), Created::New);
    assert_eq!(store.create(&path, b"one".to_vec()).await.unwrap(), Created::Same);
    assert_eq!(store.create(&path, b"two".to_vec()).await.unwrap(), Created::Differs);
    assert_eq!(store.get(&path).await.unwrap().as_deref(), Some(b"one".as_slice()));
    store.put(&path, b"two".to_vec()).await.unwrap();
    assert_eq!(store.list(&Path::from("a")).await.unwrap(), std::slice::from_ref(&path));
    assert_eq!(store.folders(&Path::from("a")).await.unwrap(), ["b"]);
    store.delete(&path).await.unwrap();
    store.delete(&path).await.unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_no_archive() {
    let folder = tempfile::tempdir().unwrap();
    let missing = opened(&folder.path().join("not-mounted")).await;
    assert!(matches!(missing, Err(ProbeError::Open { .. })), "{missing:?}");
}

#[tokio::test(start_paused = true)]
async fn without_the_lease_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let archive = opened(folder.path()).await.unwrap();
    let path = Path::from("a");
    archive.records.put(&path, b"x".to_vec()).await.unwrap();
    tokio::time::advance(crate::lease::DEADLINE).await;
    assert!(matches!(archive.records.put(&path, b"y".to_vec()).await, Err(ArchiveError::NotLeading)));
    assert!(matches!(archive.records.create(&path, b"y".to_vec()).await, Err(ArchiveError::NotLeading)));
    assert!(matches!(archive.records.delete(&path).await, Err(ArchiveError::NotLeading)));
    assert_eq!(archive.records.get(&path).await.unwrap().as_deref(), Some(b"x".as_slice()));
}
