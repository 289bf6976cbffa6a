-- One row per log. Every commit is conditional on epoch, size and root, so a row is also the lock of its log.
-- The owner writes it; when it was last seen says when others may take over. No entry that is still to come has a time
-- before the row's.
create table heads (
    shard bigint primary key,
    owner uuid,
    seen timestamptz not null default clock_timestamp(),
    epoch bigint not null,
    size bigint not null,
    root bytea not null,
    time bigint not null,
    note text not null,
    sealed boolean not null default false,
    -- Counts how often the log's time was set back.
    era bigint not null default 0
);

-- Times are microseconds since the epoch, ids and names compare byte by byte.
create table entries (
    shard bigint not null,
    index bigint not null,
    id uuid not null,
    organization text collate "C" not null,
    agent text collate "C",
    kind smallint not null,
    decision text collate "C",
    time bigint not null,
    parent uuid,
    entry bytea not null,
    primary key (shard, index)
);
-- Fleet-wide readers ask for an id without an organization.
create unique index entries_by_id on entries (id, organization);
create index entries_by_agent on entries (organization, agent, shard, index) where agent is not null;
create index entries_by_kind on entries (organization, kind, shard, index);
-- Changes of documents, for the engines that follow them: `kind` of AGENT and of STATE.
create index entries_of_agents on entries (shard, index) where kind = 4;
create index entries_of_state on entries (shard, index) where kind = 9;
create index entries_by_parent on entries (parent, organization, shard, index) where parent is not null;

-- Payloads are erased, entries never are.
create table payloads (
    shard bigint not null,
    index bigint not null,
    salt bytea not null,
    payload bytea not null,
    primary key (shard, index)
);

-- Runs of tree hashes, none across the edge of a tile.
create table hashes (
    shard bigint not null,
    level smallint not null,
    start bigint not null,
    hashes bytea not null,
    primary key (shard, level, start)
);

-- Times never go back, so this is also the index from times to entries.
create table checkpoints (
    shard bigint not null,
    size bigint not null,
    time bigint not null,
    note text not null,
    primary key (shard, size)
);
create index checkpoints_by_time on checkpoints (shard, time, size);

-- Everything that changes together with a record. Kinds are numbers; times are microseconds since the epoch.
create table documents (
    kind smallint not null,
    organization text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    body text not null,
    created bigint not null,
    changed bigint not null,
    tag_names text[] collate "C" not null,
    tag_values text[] collate "C" not null,
    due bigint,
    record uuid not null,
    primary key (kind, organization, id)
);
create index documents_by_due on documents (kind, due, organization, id) where due is not null;

-- Each tag's documents in the order of lists, so that several tags are merged without sorting. Every document has the tag
-- without name and value too. Neither table has a second index that begins with the same columns: while a table has no
-- statistics the planner rates both alike, and may read every row of the organization for a look-up.
create table document_tags (
    kind smallint not null,
    organization text collate "C" not null,
    name text collate "C" not null,
    value text collate "C" not null,
    created bigint not null,
    id text collate "C" not null,
    primary key (kind, organization, name, value, created, id)
);

-- Per shard, so that engines do not wait for each other's rows.
create table stats (
    shard bigint not null,
    organization text collate "C" not null,
    bucket bigint not null,
    name text collate "C" not null,
    count bigint not null,
    primary key (shard, organization, bucket, name)
);
create index stats_by_organization on stats (organization, bucket);
create index stats_by_bucket on stats (bucket);

-- Who follows the log under a name, and how far. The epoch counts claims and fences earlier ones.
create table followers (
    name text collate "C" primary key,
    owner uuid,
    seen timestamptz not null default clock_timestamp(),
    epoch bigint not null,
    position text not null
);

-- What each follower keeps for itself.
create table follower_rows (
    follower text collate "C" not null,
    organization text collate "C" not null,
    key text collate "C" not null,
    state bytea not null,
    primary key (follower, organization, key)
) with (fillfactor = 50);

-- Rows change often and grow rarely: room on the page keeps updates off the index.
create table counters (
    key bytea primary key,
    account bytea not null
) with (fillfactor = 50);

-- Names these counters: what was handed out under another name, by a Redis server in front of them, means nothing here.
create table lineage (
    id uuid primary key
);
insert into lineage values (gen_random_uuid());
