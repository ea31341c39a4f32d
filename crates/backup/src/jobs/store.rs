//! The files of jobs: one TOML file each, replaced as a whole.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::{Job, check_name};
use crate::{Error, Kind, Result, State};

/// The largest job file that is read: the limit of this product.
const MAX_BYTES: u64 = 1 << 20;

/// The ending of a job file.
const ENDING: &str = ".toml";

impl State {
    /// The job of this name.
    ///
    /// # Errors
    /// `E0505` when there is none; a usage error when its file says what cannot be.
    pub fn job(&self, name: &str) -> Result<Job> {
        check_name(name)?;
        let path = self.job_file(name);
        let length = match fs::metadata(&path) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::new(Kind::NotFound, format!("no job is called '{name}'")));
            }
            Err(error) => return Err(Error::io("cannot read", &path, error)),
        };
        if length > MAX_BYTES {
            let why = format!("it has {length} bytes, and {MAX_BYTES} are allowed");
            return Err(Error::usage(format!("the job '{name}' cannot be read: {why}")));
        }
        let text =
            fs::read_to_string(&path).map_err(|error| Error::io("cannot read", &path, error))?;
        let mut job: Job = toml::from_str(&text).map_err(|error| {
            Error::usage(format!("{} is no job: {}", path.display(), error.message()))
        })?;
        name.clone_into(&mut job.name);
        job.check()?;
        Ok(job)
    }

    /// Every job by its name, in the order of the names; one that cannot be read is told as such.
    ///
    /// # Errors
    /// The state cannot be listed.
    pub fn all_jobs(&self) -> Result<Vec<(String, Result<Job>)>> {
        let folder = self.jobs();
        let cannot = |error| Error::io("cannot list", &folder, error);
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(cannot)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(cannot)?.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(ENDING));
            names.extend(name.filter(|name| check_name(name).is_ok()).map(str::to_owned));
        }
        names.sort();
        Ok(names.into_iter().map(|name| (name.clone(), self.job(&name))).collect())
    }

    /// Adds a job.
    ///
    /// # Errors
    /// A job of that name is there, it says what cannot be, or the state cannot be written.
    pub fn add_job(&self, job: &Job) -> Result<()> {
        job.check()?;
        self.make()?;
        // A second name for one file is given only where there is no file of that name.
        self.publish(job, |new, path| fs::hard_link(new, path).and_then(|()| fs::remove_file(new)))
    }

    /// Writes a job anew.
    ///
    /// # Errors
    /// It says what cannot be, or the state cannot be written.
    pub fn write_job(&self, job: &Job) -> Result<()> {
        job.check()?;
        self.publish(job, |new, path| fs::rename(new, path))
    }

    /// Writes a file beside, and gives it its name at once: a crash leaves the old one or the new one.
    fn publish(&self, job: &Job, name: impl FnOnce(&Path, &Path) -> io::Result<()>) -> Result<()> {
        let path = self.job_file(&job.name);
        let text = toml::to_string(job)
            .map_err(|error| Error::usage(format!("the job cannot be written: {error}")))?;
        let new = path.with_extension(format!("part-{}", std::process::id()));
        let written = write_durably(&new, text.as_bytes())
            .and_then(|()| name(&new, &path))
            .and_then(|()| File::open(self.jobs())?.sync_all());
        written.map_err(|error| {
            // It has its name, or is of no use.
            drop(fs::remove_file(&new));
            if error.kind() == io::ErrorKind::AlreadyExists {
                return Error::usage(format!("a job is called '{}' already", job.name));
            }
            Error::io("cannot write", &path, error)
        })
    }

    /// Removes a job; its history stays, as the history of another job of its name would go on.
    ///
    /// # Errors
    /// `E0505` when there is none; the state cannot be written.
    pub fn remove_job(&self, name: &str) -> Result<()> {
        check_name(name)?;
        let path = self.job_file(name);
        fs::remove_file(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                Error::new(Kind::NotFound, format!("no job is called '{name}'"))
            }
            _ => Error::io("cannot remove", &path, error),
        })
    }

    fn job_file(&self, name: &str) -> PathBuf {
        self.jobs().join(format!("{name}{ENDING}"))
    }
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{Keep, Place, Task};

    fn job(name: &str) -> Job {
        let mut job = Job::new(name, Task::Backup, "2026-11-21T12:00:00Z");
        job.vm = vec!["web01".to_owned()];
        job.schedule = Some("daily 02:00".to_owned());
        job.place = Place { storage: Some("/srv/backups".to_owned()), pool: None };
        job.max_increments = Some(6);
        job.keep = Keep { keep_within: Some("30d".to_owned()), ..Keep::default() };
        job
    }

    #[test]
    fn a_job_is_a_file_that_an_editor_reads() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path());
        assert_eq!(state.all_jobs().unwrap().len(), 0);
        state.add_job(&job("nightly")).unwrap();
        let file = folder.path().join("jobs/nightly.toml");
        assert_eq!(
            fs::read_to_string(&file).unwrap(),
            "schema = 1
task = \"backup\"
schedule = \"daily 02:00\"
vm = [\"web01\"]
concurrency = 2
created = \"2026-11-21T12:00:00Z\"
max_increments = 6
verify = \"deep\"

[place]
storage = \"/srv/backups\"

[keep]
keep-within = \"30d\"
"
        );
        assert_eq!(state.job("nightly").unwrap(), job("nightly"));
        let error = state.add_job(&job("nightly")).unwrap_err();
        assert_eq!(error.to_string(), "a job is called 'nightly' already");
        state.remove_job("nightly").unwrap();
        assert_eq!(state.remove_job("nightly").unwrap_err().code(), Some(code::Code::E0505));
        assert_eq!(state.job("nightly").unwrap_err().to_string(), "no job is called 'nightly'");
    }

    #[test]
    fn a_job_that_cannot_be_read_is_listed_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path());
        state.add_job(&job("b")).unwrap();
        fs::write(folder.path().join("jobs/a.toml"), "schema = 1\ntask = \"dance\"\n").unwrap();
        fs::write(folder.path().join("jobs/.x.toml"), "").unwrap();
        let all = state.all_jobs().unwrap();
        assert_eq!(all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        let why = all[0].1.as_ref().unwrap_err().to_string();
        let path = folder.path().join("jobs/a.toml").display().to_string();
        assert!(why.starts_with(&format!("{path} is no job: unknown variant `dance`")), "{why}");
        assert!(all[1].1.is_ok());
    }
}
