//! The table of codes.

use std::{fmt, str::FromStr};

use crate::{ExitStatus, Page};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; nothing to do.
    Info,
    /// The result may differ from the source in a way the reader should check.
    Warning,
    /// The plan cannot be executed until somebody decides.
    Blocker,
    /// The work ended here.
    Error,
}

impl Severity {
    /// The word used in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Blocker => "blocker",
            Self::Error => "error",
        }
    }
}

macro_rules! codes {
    ($($name:ident $exit:ident $title:literal)*) => {
        /// A published code of the program, `E` for errors and `W` for warnings.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $title] $name,)*
        }

        impl Code {
            /// Every code, in the order of its name within its family.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as it is printed.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// One line that says what the code means.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// The exit status of a run that ends with this code.
            #[must_use]
            pub const fn exit(self) -> ExitStatus {
                match self { $(Self::$name => ExitStatus::$exit,)* }
            }

            /// The explanation that `relift explain` prints.
            #[must_use]
            pub fn page(self) -> Page {
                Page::new(self, match self {
                    $(Self::$name => include_str!(concat!("../pages/", stringify!($name), ".md")),)*
                })
            }
        }
    };
}

codes! {
    E0101 Package "not a tar-based OVA"
    E0102 Package "the package ends too early"
    E0103 Package "no OVF descriptor in the package, or several"
    E0104 Package "a file named by the descriptor is missing"
    E0105 Package "an unsafe name, link or special file in the package"
    E0106 Package "the package is over a named limit"
    E0107 Package "the descriptor comes after the disks, and the source is a stream"
    E0201 Integrity "a manifest is required but absent"
    E0202 Package "a manifest line cannot be read"
    E0203 Integrity "a checksum does not match"
    E0204 Integrity "the signature is invalid, or untrusted where trust is required"
    E0205 Integrity "the manifest is incomplete"
    E0301 Package "the XML is malformed, forbidden or over a limit"
    E0302 Package "no virtual system, or several where one is needed"
    E0303 Package "the descriptor contradicts itself"
    E0304 Package "a value or unit is out of range"
    E0305 Package "a required section or item is not understood"
    E0306 Usage "unknown configuration or property, or an invalid property value"
    E0401 Package "the disk format differs from what was said"
    E0402 Package "the disk is encrypted, or a delta without its parent"
    E0403 Package "the capacity does not match"
    E0404 Package "the disk structure is damaged"
    E0405 Package "the disk is over a named limit or of an unsupported kind"
    E0501 Target "the host cannot be reached"
    E0502 Target "the host denies access"
    E0503 Target "a machine of that name exists"
    E0504 Target "unknown pool or network"
    E0505 NotFound "unknown machine, snapshot, backup or job"
    E0506 Storage "not enough room"
    E0507 Storage "read-only pool or folder"
    E0508 Storage "input or output error"
    E0509 Storage "a file of that name exists"
    E0510 Target "the machine or its snapshot is not in the state for it"
    E0511 Target "the guest could not be made quiet"
    E0601 NoRepository "the repository is absent"
    E0602 Locked "the repository or the batch is locked"
    E0603 Key "wrong key"
    E0604 Package "no readable machine definition in the bundle"
    E0605 Integrity "a bundle member is damaged"
    E0606 Package "no increment is possible"
    E0607 Blocked "the backup is protected"
    E0701 Dependency "a program is missing or too old"
    E0702 Dependency "firmware is missing"
    E0801 Blocked "the plan has blockers"
    E0802 Blocked "there are warnings, and --strict was given"
    E0803 Blocked "the source changed since the plan was made"
    E0804 Blocked "the plan file asks for what cannot be"
    W0101 Blocked "disk controller changed"
    W0102 Blocked "network card model changed"
    W0103 Blocked "NVMe disk given another bus"
    W0104 Blocked "firmware variables not carried over"
    W0105 Blocked "serial or parallel port target changed"
    W0106 Blocked "nearest model taken"
    W0107 Blocked "CPU topology changed"
    W0108 Blocked "firmware or secure boot guessed or changed"
    W0109 Blocked "TPM created empty"
    W0111 Blocked "disk address moved"
    W0112 Blocked "value interpreted"
    W0201 Blocked "VMware-only device dropped"
    W0202 Blocked "CD image not imported"
    W0203 Blocked "optional device dropped"
    W0204 Blocked "unknown item dropped"
    W0205 Blocked "vendor configuration key ignored"
    W0206 Blocked "passthrough device dropped"
    W0207 Blocked "NVDIMM, SGX or SEV dropped"
    W0301 Blocked "source network not mapped, default used"
    W0302 Blocked "two source networks end in one"
    W0303 Blocked "MAC address generated"
    W0304 Blocked "the interface will have another name in the guest"
    W0401 Blocked "property without a value"
    W0402 Blocked "EULA not accepted"
    W0501 Blocked "guest operating system not recognised"
    W0502 Blocked "source was running or suspended"
    W0503 Blocked "drivers for the chosen device are not known to be there"
    W0601 Blocked "extra space needed"
    W0602 Blocked "a file named by the descriptor is not beside it"
    W0603 Blocked "existing ISO used"
    W0604 Blocked "LUN not in the backup"
    W0605 Blocked "template of a thin clone missing or different"
    W0606 Blocked "pool changed for want of room"
    W0607 Blocked "scripts of the appliance ignored"
    W0608 Blocked "oddity of the package accepted"
    W0609 Blocked "weak digest or untrusted certificate"
    W0610 Blocked "descriptor defect tolerated"
    W0611 Blocked "the guest's file systems were not frozen"
    W0612 Blocked "a snapshot is not in the backup"
}

impl Code {
    /// The severity that the code has when nothing else is said: `E` error, `W` warning.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self.as_str().as_bytes() {
            [b'W', ..] => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is no published code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownCode(pub String);

impl fmt::Display for UnknownCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown code '{}'", self.0.escape_default())
    }
}

impl std::error::Error for UnknownCode {}

impl FromStr for Code {
    type Err = UnknownCode;

    /// Reads a code without regard to case.
    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let wanted = text.trim();
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.as_str().eq_ignore_ascii_case(wanted))
            .ok_or_else(|| UnknownCode(wanted.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_every_code_it_prints() {
        for code in Code::ALL {
            assert_eq!(code.to_string().to_lowercase().parse(), Ok(*code));
        }
        assert_eq!("E9999".parse::<Code>().unwrap_err().to_string(), "unknown code 'E9999'");
    }

    #[test]
    fn gives_the_exit_statuses_of_the_contract() {
        for (code, want) in [
            (Code::E0102, 4),
            (Code::E0202, 4),
            (Code::E0203, 5),
            (Code::E0306, 2),
            (Code::E0404, 4),
            (Code::E0503, 7),
            (Code::E0505, 13),
            (Code::E0506, 8),
            (Code::E0605, 5),
            (Code::E0701, 9),
            (Code::E0801, 6),
            (Code::W0402, 6),
        ] {
            assert_eq!(code.exit().number(), want, "{code}");
        }
    }
}
