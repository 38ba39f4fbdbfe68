//! Sessions with tokens: one for each token, opened when it is needed and again when it broke.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use sallyport_plan::authority::keys::TokenKey;
use zeroize::Zeroizing;

use super::super::{CustodyError, Pin};

/// Whom to open a session with.
pub(super) struct Login {
    pub(super) token: String,
    pin: Zeroizing<String>,
}

impl Login {
    pub(super) fn new(at: &TokenKey, pin: &Pin) -> Self {
        Self { token: at.token.clone(), pin: Zeroizing::new(pin.reveal().to_owned()) }
    }
}

/// A token's session. PKCS#11 logs in a whole process, not a session, so there is one.
type Slot = Arc<Mutex<Option<Session>>>;

/// All of them.
pub(super) struct Sessions {
    module: PathBuf,
    library: Mutex<Option<Pkcs11>>,
    open: Mutex<BTreeMap<String, Slot>>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sessions({})", self.module.display())
    }
}

impl Sessions {
    pub(super) fn new(module: PathBuf) -> Self {
        Self { module, library: Mutex::default(), open: Mutex::default() }
    }

    /// Does something in the token's session; once more in a new one if that fails. One at a time.
    pub(super) fn with<T>(
        &self,
        login: &Login,
        act: impl Fn(&Session) -> cryptoki::error::Result<T>,
    ) -> Result<T, CustodyError> {
        let slot =
            self.open.lock().unwrap_or_else(PoisonError::into_inner).entry(login.token.clone()).or_default().clone();
        let mut open = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = |error: &Error| CustodyError::Token { token: login.token.clone(), why: in_words(error) };
        if let Some(session) = open.as_ref() {
            match act(session) {
                Ok(done) => return Ok(done),
                Err(error) => {
                    tracing::warn!(token = login.token, reason = in_words(&error), "a token's session broke");
                    *open = None;
                }
            }
        }
        let session = open.insert(self.begin(login)?);
        act(session).map_err(|error| {
            let refused = refused(&error);
            *open = None;
            refused
        })
    }

    fn begin(&self, login: &Login) -> Result<Session, CustodyError> {
        let refused = |why: String| CustodyError::Token { token: login.token.clone(), why };
        let library = self.library().map_err(|error| refused(in_words(&error)))?;
        let slots = library.get_slots_with_initialized_token().map_err(|error| refused(in_words(&error)))?;
        let named = |slot: &&cryptoki::slot::Slot| {
            library.get_token_info(**slot).is_ok_and(|info| info.label().trim_end() == login.token)
        };
        let mut found = slots.iter().filter(named);
        let (slot, other) = (found.next().ok_or_else(|| refused("it is not there".to_owned()))?, found.next());
        if other.is_some() {
            return Err(refused("there are several of that label".to_owned()));
        }
        let session = library.open_rw_session(*slot).map_err(|error| refused(in_words(&error)))?;
        match session.login(UserType::User, Some(&AuthPin::new(login.pin.as_str().into()))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) => Err(refused(in_words(&error))),
        }
    }

    fn library(&self) -> cryptoki::error::Result<Pkcs11> {
        let mut library = self.library.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(library) = library.as_ref() {
            return Ok(library.clone());
        }
        let loaded = Pkcs11::new(&self.module)?;
        match loaded.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(error),
        }
        Ok(library.insert(loaded).clone())
    }
}

/// What a module said, for a person. Errors of this crate carry no argument, so no PIN.
fn in_words(error: &Error) -> String {
    match error {
        Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _) => {
            "its PIN is wrong".to_owned()
        }
        Error::Pkcs11(RvError::PinLocked, _) => "its PIN is locked; its security officer must set it anew".to_owned(),
        Error::Pkcs11(RvError::TokenNotPresent | RvError::DeviceRemoved, _) => "it is not there".to_owned(),
        Error::LibraryLoading(why) => format!("the module cannot be loaded: {why}"),
        other => other.to_string(),
    }
}
