//! The commands, one file each: each takes its arguments and gives a report.

mod backup;
mod batch;
mod completions;
mod convert;
mod disk;
mod doctor;
mod explain;
mod export;
mod guard;
mod import;
mod inspect;
mod job;
mod plan;
mod sample;
mod snapshot;
mod source;
mod target;
mod verify;

pub(crate) use backup::{
    copy::is_pool,
    shelf::{file as backup_file, usual_folders},
};
pub(crate) use guard::run as guard;
pub(crate) use plan::document::{RowData, rows as plan_rows};
pub(crate) use source::Need;
pub(crate) use target::{Target, USUAL as USUAL_TARGET};

use crate::{
    args::{BackupCommand, BatchCommand, Command, DiskCommand, SampleCommand},
    failure::{Failure, Result},
    progress::{self, Gauge},
    report::Report,
    session::Session,
};

/// Runs a command, and shows how far it is while it runs.
pub(crate) fn run(command: &Command, session: &Session) -> Result<Report> {
    progress::watched(session, |gauge| dispatch(command, session, gauge))
}

fn dispatch(command: &Command, session: &Session, gauge: &Gauge<'_>) -> Result<Report> {
    match command {
        Command::Inspect(args) => inspect::run(args, session, gauge),
        Command::Plan(args) => plan::run(args, session),
        Command::Convert(args) => convert::run(args, session, gauge),
        Command::Import(args) => import::import(args, session, gauge),
        Command::Restore(args) => import::restore(args, session, gauge),
        Command::Export(args) => export::run(args, session, gauge),
        Command::Verify(args) => verify::run(args, session, gauge),
        Command::Disk(DiskCommand::Info(args)) => disk::info::run(args),
        Command::Disk(DiskCommand::Convert(args)) => disk::convert::run(args, session, gauge),
        Command::Disk(DiskCommand::Check(args)) => disk::check::run(args, gauge),
        Command::Disk(DiskCommand::Compare(args)) => disk::compare::run(args, gauge),
        Command::Disk(DiskCommand::Measure(args)) => disk::measure::run(args, gauge),
        Command::Disk(DiskCommand::Map(args)) => disk::map::run(args, gauge),
        Command::Backup(BackupCommand::Create(args)) => backup::create::run(args, session, gauge),
        Command::Backup(BackupCommand::Show(args)) => backup::show::run(args, session),
        Command::Backup(BackupCommand::Config(args)) => backup::config::run(args, session),
        Command::Backup(BackupCommand::Verify(args)) => backup::verify::run(args, session, gauge),
        Command::Backup(BackupCommand::Compress(args)) => {
            backup::rewrite::compress(args, session, gauge)
        }
        Command::Backup(BackupCommand::Decompress(args)) => {
            backup::rewrite::decompress(args, session, gauge)
        }
        Command::Backup(BackupCommand::Append(args)) => backup::append::run(args, session, gauge),
        Command::Backup(BackupCommand::Copy(args)) => backup::copy::run(args, session, gauge),
        Command::Backup(BackupCommand::List(args)) => backup::list::run(args, session),
        Command::Backup(BackupCommand::Prune(args)) => backup::prune::run(args, session),
        Command::Backup(BackupCommand::Protect(args)) => backup::protect::run(args, gauge),
        Command::Backup(BackupCommand::Delete(args)) => backup::delete::run(args),
        Command::Job(command) => job::run(command, session),
        Command::Snapshot(command) => snapshot::run(command, session, gauge),
        Command::Batch(BatchCommand::Plan(args)) => batch::plan::run(args, session),
        Command::Batch(BatchCommand::Run(args)) => batch::run::run(args, session, gauge),
        Command::Batch(BatchCommand::Status(args)) => batch::status::run(args),
        Command::Batch(BatchCommand::Retry(args)) => batch::retry::run(args, session, gauge),
        Command::Batch(BatchCommand::Report(args)) => batch::report::run(args, session),
        Command::Batch(BatchCommand::Merge(args)) => batch::merge::run(args),
        Command::Sample(SampleCommand::Create(args)) => sample::run(args, session),
        Command::Doctor(args) => doctor::run(args, session),
        Command::Explain(args) => explain::run(args),
        Command::Completions(args) => Ok(completions::run(args)),
        Command::Guard(_) => Err(Failure::usage("a guard has no session")),
    }
}
