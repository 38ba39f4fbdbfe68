//! Why a step failed. What a person must see is a [`Trouble`] and becomes a condition; the rest is retried.

use sallyport_plan::status::Trouble;

/// Why a reconcile failed. It is tried again, later and later.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server did not do what was asked.
    #[error("{what}")]
    Api {
        /// What was asked, with kind and name.
        what: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// The object's condition says it; the operator tries again on its own.
    #[error("{0}")]
    Trouble(Trouble),
}

impl Error {
    /// An error of the Kubernetes client.
    pub fn api(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Api { what, source: Box::new(source) }
    }

    /// Whether the object is gone, so that there is nothing left to do.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Api { source, .. } if code(source) == Some(404))
    }

    /// Whether somebody else wrote first.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Api { source, .. } if code(source) == Some(409))
    }
}

/// An error and its causes, for a person.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error {
            Error::Trouble(trouble) => trouble,
            Error::Api { what, source } => match *source {
                kube::Error::Api(status) if status.code == 403 => {
                    Self::NotPermitted { what, why: status.message.clone() }
                }
                kube::Error::Api(status) => Self::Api { what, why: status.message.clone() },
                other => Self::Api { what, why: other.to_string() },
            },
        }
    }
}

/// The HTTP status of an answer.
pub fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

/// Whether an answer says that there is no such object.
pub fn found<T>(result: Result<T, kube::Error>) -> Result<Option<T>, kube::Error> {
    match result {
        Ok(object) => Ok(Some(object)),
        Err(error) if code(&error) == Some(404) => Ok(None),
        Err(error) => Err(error),
    }
}
