//! How a kind of event is written down, so that all of them are strict in the same way: unknown fields are refused, and
//! where there is a person it is the first field.

/// One kind's fields. With `<P>` its first field is its one person (`P`, or `Option<P>` where nobody may be known).
macro_rules! kind {
    ($(#[$doc:meta])* $name:ident<P> {
        $(#[$by_doc:meta])* $by:ident: P,
        $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct $name<P> {
            $(#[$by_doc])*
            pub $by: P,
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl<P> $name<P> {
            pub(super) fn try_map<Q, E>(self, map: impl FnOnce(P) -> Result<Q, E>) -> Result<$name<Q>, E> {
                Ok($name { $by: map(self.$by)?, $($field: self.$field,)* })
            }

            pub(super) fn person(&self) -> Option<&P> {
                Some(&self.$by)
            }
        }
    };
    ($(#[$doc:meta])* $name:ident<P> {
        $(#[$by_doc:meta])* $by:ident: Option<P>,
        $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct $name<P> {
            $(#[$by_doc])*
            #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
            pub $by: Option<P>,
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl<P> $name<P> {
            pub(super) fn try_map<Q, E>(self, map: impl FnOnce(P) -> Result<Q, E>) -> Result<$name<Q>, E> {
                Ok($name { $by: self.$by.map(map).transpose()?, $($field: self.$field,)* })
            }

            pub(super) fn person(&self) -> Option<&P> {
                self.$by.as_ref()
            }
        }
    };
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $name {
            pub(super) fn try_map<P, Q, E>(self, _map: impl FnOnce(P) -> Result<Q, E>) -> Result<Self, E> {
                Ok(self)
            }

            pub(super) fn person<P>(&self) -> Option<&P> {
                None
            }
        }
    };
}

/// A closed set of words, spelled as its variants in camelCase.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }
    };
}

pub(super) use {kind, words};
