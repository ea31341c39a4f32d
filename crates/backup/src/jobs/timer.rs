//! A job as a service and a timer of systemd, man pages systemd.service(5) and systemd.timer(5).

use std::path::Path;

use super::Job;
use crate::{Error, Result};

/// A file of systemd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// The service that runs a job with this program and this state, and the timer that starts it.
///
/// # Errors
/// The job has no schedule, or a path that a unit cannot hold.
pub fn units(job: &Job, program: &Path, state: &Path) -> Result<[Unit; 2]> {
    let Some((schedule, _)) = job.timing()? else {
        let name = &job.name;
        return Err(Error::usage(format!("the job '{name}' has no schedule for a timer")));
    };
    let (program, folder) = (word(program)?, word(state)?);
    let (name, tz) = (&job.name, job.tz.as_deref());
    let calendar = schedule.on_calendar(tz).into_iter();
    let calendar = calendar.map(|line| format!("OnCalendar={line}\n")).collect::<String>();
    let head =
        format!("# Written by relift for its job {name}.\n[Unit]\nDescription=relift job {name}\n");
    Ok([
        Unit {
            name: format!("relift-{name}.service"),
            text: format!(
                "{head}After=libvirtd.service remote-fs.target\n\n[Service]\nType=oneshot\n\
                 Environment=\"RELIFT_STATE_DIR={folder}\"\nExecStart=\"{program}\" job run {name}\n"
            ),
        },
        Unit {
            name: format!("relift-{name}.timer"),
            text: format!(
                "{head}\n[Timer]\n{calendar}Persistent=true\n\n[Install]\nWantedBy=timers.target\n"
            ),
        },
    ])
}

/// A path between quotes: systemd replaces `%` and `$`, and knows backslashes.
fn word(path: &Path) -> Result<String> {
    let text = path.to_str().filter(|text| !text.chars().any(char::is_control));
    let text = text.ok_or_else(|| {
        Error::usage(format!("{} cannot stand in a unit of systemd", path.display()))
    })?;
    let mut word = String::new();
    for c in text.chars() {
        match c {
            '"' | '\\' => word.extend(['\\', c]),
            '%' | '$' => word.extend([c, c]),
            _ => word.push(c),
        }
    }
    Ok(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Task;

    fn job() -> Job {
        let mut job = Job::new("nightly", Task::Backup, "2026-11-21T12:00:00Z");
        job.schedule = Some("0 2 1 * sun".to_owned());
        job.tz = Some("UTC".to_owned());
        job
    }

    #[test]
    fn a_job_is_a_service_and_a_timer() {
        let [service, timer] =
            units(&job(), Path::new("/opt/re%lift/relift"), Path::new("/var/lib/relift")).unwrap();
        assert_eq!(service.name, "relift-nightly.service");
        assert_eq!(
            service.text,
            "# Written by relift for its job nightly.
[Unit]
Description=relift job nightly
After=libvirtd.service remote-fs.target

[Service]
Type=oneshot
Environment=\"RELIFT_STATE_DIR=/var/lib/relift\"
ExecStart=\"/opt/re%%lift/relift\" job run nightly
"
        );
        assert_eq!(timer.name, "relift-nightly.timer");
        assert_eq!(
            timer.text,
            "# Written by relift for its job nightly.
[Unit]
Description=relift job nightly

[Timer]
OnCalendar=*-*-01 02:00:00 UTC
OnCalendar=Sun *-*-* 02:00:00 UTC
Persistent=true

[Install]
WantedBy=timers.target
"
        );
    }

    #[test]
    fn what_a_unit_cannot_hold_is_refused() {
        let told = |job: &Job, program: &str| {
            units(job, Path::new(program), Path::new("/s")).unwrap_err().to_string()
        };
        let by_hand = Job { schedule: None, ..job() };
        assert_eq!(told(&by_hand, "/r"), "the job 'nightly' has no schedule for a timer");
        assert_eq!(told(&job(), "/a\nb"), "/a\nb cannot stand in a unit of systemd");
    }
}
