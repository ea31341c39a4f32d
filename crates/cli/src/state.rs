//! Where relift remembers what it did.

use std::path::PathBuf;

use backup::State;

/// The variable that names another folder.
pub(crate) const VARIABLE: &str = "RELIFT_STATE_DIR";

/// The folder of the system, for root.
const SYSTEM: &str = "/var/lib/relift";

/// The state of this user: the folder of [`VARIABLE`], else that of the system for root and for others
/// `$XDG_STATE_HOME/relift`, which is beneath `~/.local/state` where that is not set.
pub(crate) fn of_environment() -> State {
    let variable = |name: &str| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty());
        value.map(PathBuf::from)
    };
    let is_root = rustix::process::geteuid().is_root();
    State::at(folder(&variable, is_root))
}

fn folder(variable: &dyn Fn(&str) -> Option<PathBuf>, is_root: bool) -> PathBuf {
    if let Some(folder) = variable(VARIABLE) {
        return std::path::absolute(&folder).unwrap_or(folder);
    }
    if is_root {
        return SYSTEM.into();
    }
    // What is not absolute is no such folder: XDG Base Directory Specification.
    let own = variable("XDG_STATE_HOME").filter(|folder| folder.is_absolute());
    let home = || variable("HOME").map(|home| home.join(".local/state"));
    own.or_else(home).map_or_else(|| SYSTEM.into(), |folder| folder.join("relift"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_where_the_user_may_write() {
        let folder = |variables: &[(&str, &str)], is_root| {
            let found = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| PathBuf::from(value))
            };
            folder(&found, is_root).display().to_string()
        };
        assert_eq!(folder(&[("HOME", "/root")], true), "/var/lib/relift");
        assert_eq!(folder(&[("HOME", "/home/a")], false), "/home/a/.local/state/relift");
        let own = [("HOME", "/home/a"), ("XDG_STATE_HOME", "/s")];
        assert_eq!(folder(&own, false), "/s/relift");
        assert_eq!(folder(&[(VARIABLE, "/t"), ("XDG_STATE_HOME", "/s")], true), "/t");
        assert_eq!(
            folder(&[("HOME", "/h"), ("XDG_STATE_HOME", "s")], false),
            "/h/.local/state/relift"
        );
    }
}
