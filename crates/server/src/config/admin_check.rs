//! What an operator decided about the control plane that no value can know alone.

use super::{
    Admin, AdminListen,
    admin_access::{KEY, KEYS_MAX, USER, USERS_MAX},
    draft::{Draft, Placed},
    problem::Problem,
    setting::Declared,
};

const LISTEN: &str = "admin.listen";
const CERT: &str = "admin.tls_cert";
const TLS_KEY: &str = "admin.tls_key";

impl Admin {
    /// Whether it can be reached from elsewhere and lets everybody in.
    pub(crate) fn is_exposed(&self) -> bool {
        let elsewhere = match self.listen {
            AdminListen::Auto | AdminListen::Off => false,
            AdminListen::At(address) => !address.ip().to_canonical().is_loopback(),
        };
        elsewhere && self.is_open()
    }

    /// Whether it lets everybody in that reaches it.
    pub(crate) const fn is_open(&self) -> bool {
        self.keys.is_empty() && self.users.is_empty()
    }
}

impl Draft {
    /// Finds contradictions between the settings of the control plane.
    pub(super) fn check_admin(&mut self) {
        let named = [
            contested(KEY, &self.keys, KEYS_MAX, |key| &key.name),
            contested(USER, &self.users, USERS_MAX, |user| &user.name),
        ];
        self.problems.extend(named.into_iter().flatten());
        let mut admin = self.values.value.admin.clone();
        for (key, own, other_key, other) in [
            (TLS_KEY, &admin.tls_key, CERT, &admin.tls_cert),
            (CERT, &admin.tls_cert, TLS_KEY, &admin.tls_key),
        ] {
            if own.is_none() && other.is_some() && !self.is_refused(key) {
                self.problems.push(Problem::Missing {
                    key: key.to_owned(),
                    expected: format!("the path of a PEM file, since {other_key} is set"),
                    place: self.values.place(other_key).clone(),
                });
            }
        }
        // Those that were refused are somebody's, too.
        admin.keys = self.keys.iter().map(|key| key.value.clone()).collect();
        admin.users = self.users.iter().map(|user| user.value.clone()).collect();
        if admin.is_exposed() {
            let expected = format!(
                "a loopback address such as \"{}\", since there is neither an [[{KEY}]] nor an [[{USER}]] in \
                 the file; `fourtuple key` makes one",
                AdminListen::USUAL
            );
            self.problems
                .push(self.values.contradiction("", LISTEN, expected));
        }
    }
}

/// Those of a list that are too many, or called as another.
fn contested<T: Declared>(
    table: &str,
    all: &[Placed<T>],
    count_max: usize,
    name: impl Fn(&T) -> &String,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(first_over) = all.get(count_max) {
        let expected = format!("at most {count_max} of them");
        problems.push(first_over.contradiction(table, "name", expected));
    }
    for (index, one) in all.iter().enumerate().take(count_max) {
        // A name that was refused is empty.
        let own = name(&one.value);
        if !own.is_empty() && all[..index].iter().any(|other| name(&other.value) == own) {
            let expected = "a name that no other has".to_owned();
            problems.push(one.contradiction(table, "name", expected));
        }
    }
    problems
}
