//! What the operator has seen of one kind. Filled by watches and, so that a reconcile sees its own writes, by what the
//! API server answered to them; an older version never replaces a newer one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sallyport_plan::catalogue::{ObjectKey, Objects};

/// Objects of one kind, from one watch per namespace or from one for all of them.
#[derive(Debug)]
pub struct Cache<V> {
    objects: RwLock<Objects<V>>,
    watches: RwLock<BTreeMap<Scope, Watch>>,
    ever_synced: RwLock<BTreeSet<Scope>>,
    metadata: fn(&V) -> &ObjectMeta,
}

/// What a watch covers: one namespace, or all.
pub type Scope = Option<String>;

/// How a watch is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watch {
    /// It has not seen everything yet.
    Starting,
    /// It has.
    Synced,
    /// It fails.
    Failing {
        /// For want of a right.
        forbidden: bool,
        /// What the API server said.
        why: String,
    },
}

/// An object before and after.
pub struct Changed<V> {
    /// Which.
    pub key: ObjectKey,
    /// Nothing: it is new.
    pub old: Option<Arc<V>>,
    /// Nothing: it is gone.
    pub new: Option<Arc<V>>,
}

impl<V> Cache<V> {
    /// Empty. `metadata` finds an object's metadata.
    pub fn new(metadata: fn(&V) -> &ObjectMeta) -> Self {
        Self { objects: RwLock::default(), watches: RwLock::default(), ever_synced: RwLock::default(), metadata }
    }

    /// One object.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<V>> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// All objects, as they are now.
    pub fn snapshot(&self) -> Objects<V> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How the watch that covers a namespace is doing.
    pub fn watch(&self, namespace: &str) -> Watch {
        let watches = self.watches.read().unwrap_or_else(PoisonError::into_inner);
        let watch = watches.get(&Some(namespace.to_owned())).or_else(|| watches.get(&None));
        watch.cloned().unwrap_or(Watch::Starting)
    }

    /// Whether the objects of a namespace have ever all been seen. They may be stale, but they are not missing.
    pub fn was_seen(&self, namespace: &str) -> bool {
        let seen = self.ever_synced.read().unwrap_or_else(PoisonError::into_inner);
        seen.contains(&Some(namespace.to_owned())) || seen.contains(&None)
    }

    /// Says how a watch is doing.
    pub fn set_watch(&self, scope: &Scope, state: Watch) {
        if state == Watch::Synced {
            self.ever_synced.write().unwrap_or_else(PoisonError::into_inner).insert(scope.clone());
        }
        self.watches.write().unwrap_or_else(PoisonError::into_inner).insert(scope.clone(), state);
    }

    /// Takes a version of an object; nothing when it is older than what is known.
    pub fn put(&self, value: V) -> Option<Changed<V>> {
        let metadata = (self.metadata)(&value);
        let key = key_of(metadata);
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        if objects.get(&key).is_some_and(|known| is_older(metadata, (self.metadata)(known))) {
            return None;
        }
        let new = Arc::new(value);
        let old = objects.get(&key).cloned();
        objects.insert_mut(key.clone(), new.clone());
        Some(Changed { key, old, new: Some(new) })
    }

    /// Takes the news that the object with this metadata is gone.
    pub fn remove(&self, gone: &ObjectMeta) -> Option<Changed<V>> {
        let key = key_of(gone);
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        // The object may have been made anew in the meantime, which our own write told us first.
        if objects.get(&key).is_some_and(|known| (self.metadata)(known).uid != gone.uid) {
            return None;
        }
        let old = objects.get(&key).cloned()?;
        objects.remove_mut(&key);
        Some(Changed { key, old: Some(old), new: None })
    }

    /// Takes a complete list of what a watch covers. What cannot be read is there too: only its metadata is known.
    pub fn replace(&self, scope: &Scope, values: Vec<Result<V, Box<ObjectMeta>>>) -> Vec<Changed<V>> {
        let metadata = |value: &Result<V, Box<ObjectMeta>>| match value {
            Ok(value) => key_of((self.metadata)(value)),
            Err(metadata) => key_of(metadata),
        };
        let listed: BTreeSet<ObjectKey> = values.iter().map(metadata).collect();
        let mut changes: Vec<_> = values.into_iter().flatten().filter_map(|value| self.put(value)).collect();
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        let covered = |key: &ObjectKey| scope.as_ref().is_none_or(|namespace| *namespace == key.namespace);
        let gone: Vec<_> = objects.keys().filter(|key| covered(key) && !listed.contains(key)).cloned().collect();
        for key in gone {
            let old = objects.get(&key).cloned();
            objects.remove_mut(&key);
            changes.push(Changed { key, old, new: None });
        }
        changes
    }
}

fn key_of(metadata: &ObjectMeta) -> ObjectKey {
    ObjectKey::new(metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

/// Resource versions of one object are comparable (Kubernetes 1.35 says so; etcd's revisions always were).
fn is_older(metadata: &ObjectMeta, known: &ObjectMeta) -> bool {
    let version = |m: &ObjectMeta| m.resource_version.as_ref().and_then(|v| v.parse::<u64>().ok());
    match (version(metadata), version(known)) {
        (Some(new), Some(known_version)) => metadata.uid == known.uid && new < known_version,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, uid: &str, version: &str) -> ObjectMeta {
        ObjectMeta {
            namespace: Some("a".into()),
            name: Some(name.into()),
            uid: Some(uid.into()),
            resource_version: Some(version.into()),
            ..ObjectMeta::default()
        }
    }

    fn version(cache: &Cache<ObjectMeta>, name: &str) -> Option<String> {
        cache.get(&ObjectKey::new("a", name))?.resource_version.clone()
    }

    #[test]
    fn an_old_version_never_replaces_a_new_one() {
        let cache = Cache::new(|m| m);
        cache.put(object("x", "1", "7"));
        assert!(cache.put(object("x", "1", "6")).is_none());
        assert_eq!(version(&cache, "x").as_deref(), Some("7"));
        assert!(cache.put(object("x", "2", "5")).is_some(), "another object of the same name");
    }

    #[test]
    fn a_late_deletion_of_an_object_that_was_made_anew_is_ignored() {
        let cache = Cache::new(|m| m);
        cache.put(object("x", "2", "9"));
        assert!(cache.remove(&object("x", "1", "8")).is_none());
        assert!(cache.remove(&object("x", "2", "10")).is_some());
    }

    #[test]
    fn a_list_speaks_for_its_own_namespace_only() {
        let cache = Cache::new(|m| m);
        cache.put(object("x", "1", "1"));
        cache.put(ObjectMeta { namespace: Some("b".into()), ..object("y", "2", "2") });
        let changes = cache.replace(&Some("a".into()), vec![Ok(object("z", "3", "3"))]);
        assert_eq!(changes.len(), 2);
        assert_eq!(cache.snapshot().keys().map(ToString::to_string).collect::<Vec<_>>(), ["a/z", "b/y"]);
    }

    #[test]
    fn what_cannot_be_read_any_more_stays_as_it_was() {
        let cache = Cache::new(|m| m);
        cache.put(object("x", "1", "1"));
        let changes = cache.replace(
            &Some("a".into()),
            vec![Err(Box::new(object("x", "1", "2"))), Err(Box::new(object("new", "2", "3")))],
        );
        assert!(changes.is_empty());
        assert_eq!((version(&cache, "x").as_deref(), version(&cache, "new")), (Some("1"), None));
    }
}
