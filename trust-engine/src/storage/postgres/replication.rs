//! Checks of the server's standbys, as far as the role may see them.

use deadpool_postgres::Object;

use super::error::from_driver;
use super::migrate::{newest_version, version};
use crate::error::{Error, ErrorKind, Result};

/// Promises that the server does not keep as it is set up.
pub(super) async fn warnings(connection: Object) -> Result<Vec<String>> {
    let select = "select coalesce(string_agg(application_name, ', '), '') from pg_stat_replication
        where sync_state = 'async' and application_name not like 'pg_%'";
    let standbys: String = connection.query_one(select, &[]).await.map_err(from_driver)?.get(0);
    let setting = |name: &str| format!("select current_setting('{name}')");
    let fsync: String = connection.query_one(&setting("fsync"), &[]).await.map_err(from_driver)?.get(0);
    let mut warnings = Vec::new();
    if !standbys.is_empty() {
        warnings.push(format!(
            "PostgreSQL replicates to a standby asynchronously ({standbys}): records and grants that were acknowledged \
             are lost if that standby is promoted. Name it in synchronous_standby_names"
        ));
    }
    if fsync == "off" {
        warnings
            .push("PostgreSQL runs with fsync=off: a crash of its machine loses acknowledged records".into());
    }
    Ok(warnings)
}

/// Checks a replica, which must hold this version of the schema. A replica that is no standby is only worth a warning:
/// it may be the primary itself while the replica is away.
pub(super) async fn check_replica(connection: Object, schema: String) -> Result<Vec<String>> {
    let found = version(&connection, &format!("{schema}.migrations")).await?;
    if found != newest_version() {
        let issue = format!("the replica's schema has version {found}, not {}", newest_version());
        return Err(Error::new(ErrorKind::Unsupported, issue));
    }
    let select = "select pg_is_in_recovery()";
    let standby: bool = connection.query_one(select, &[]).await.map_err(from_driver)?.get(0);
    let warning = "the replica is not a standby: if it is not the primary, it holds another log";
    Ok(if standby { Vec::new() } else { vec![warning.to_owned()] })
}
