//! Headers of users and access rules.

use remoting_derive::Header;

/// Creates a user; the user is in the body.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct CreateUserRequestHeader {
    pub username: Option<String>,
}

/// Changes a user; the user is in the body.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct UpdateUserRequestHeader {
    pub username: Option<String>,
}

/// Deletes a user.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct DeleteUserRequestHeader {
    pub username: Option<String>,
}

/// Asks for a user.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetUserRequestHeader {
    pub username: Option<String>,
}

/// Asks for users by a part of the name.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct ListUsersRequestHeader {
    pub filter: Option<String>,
}

/// Creates rules; they are in the body.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct CreateAclRequestHeader {
    pub subject: Option<String>,
}

/// Changes rules; they are in the body.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct UpdateAclRequestHeader {
    pub subject: Option<String>,
}

/// Deletes rules.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct DeleteAclRequestHeader {
    pub subject: Option<String>,
    pub policy_type: Option<String>,
    pub resource: Option<String>,
}

/// Asks for the rules of a subject.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct GetAclRequestHeader {
    pub subject: Option<String>,
}

/// Asks for rules by subject and resource.
#[derive(Header, Clone, Debug, Default, PartialEq)]
pub struct ListAclsRequestHeader {
    pub subject_filter: Option<String>,
    pub resource_filter: Option<String>,
}
