//! The tables as diesel sees them. `migrations/` is the truth; this follows it by hand.

diesel::table! {
    organisations (id) {
        id -> Uuid,
        display_name -> Text,
        time_zone -> Text,
        appointment_capacity -> Int4,
        create_time -> Timestamptz,
        update_time -> Timestamptz,
        instructions -> Text,
        etag -> Text,
        sessions_max -> Int4,
        calls_per_minute -> Int4,
    }
}

diesel::table! {
    opening_hours (organisation_id, weekday, opens_minute) {
        organisation_id -> Uuid,
        weekday -> Int2,
        opens_minute -> Int2,
        closes_minute -> Int2,
    }
}

diesel::table! {
    api_keys (id) {
        id -> Uuid,
        organisation_id -> Uuid,
        key_hash -> Bytea,
        key_prefix -> Text,
        scopes -> Array<Text>,
        create_time -> Timestamptz,
        revoke_time -> Nullable<Timestamptz>,
        display_name -> Text,
        last_use_time -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    request_answers (organisation_id, request_id) {
        organisation_id -> Uuid,
        request_id -> Text,
        method -> Text,
        body_hash -> Bytea,
        answer -> Nullable<Bytea>,
        create_time -> Timestamptz,
    }
}

diesel::table! {
    audit_log (id) {
        id -> Uuid,
        organisation_id -> Uuid,
        key_id -> Uuid,
        method -> Text,
        resource -> Text,
        request_id -> Text,
        create_time -> Timestamptz,
    }
}

diesel::table! {
    agents (organisation_id, id) {
        organisation_id -> Uuid,
        id -> Text,
        display_name -> Text,
        settings -> Jsonb,
        etag -> Text,
        create_time -> Timestamptz,
        update_time -> Timestamptz,
        state -> Text,
        labels -> Jsonb,
    }
}

diesel::table! {
    calls (id) {
        id -> Uuid,
        organisation_id -> Uuid,
        agent_id -> Text,
        agent_display_name -> Text,
        call_type -> Text,
        direction -> Text,
        state -> Text,
        create_time -> Timestamptz,
        start_time -> Nullable<Timestamptz>,
        end_time -> Nullable<Timestamptz>,
        end_reason -> Nullable<Text>,
        end_message -> Nullable<Text>,
        dynamic_variables -> Jsonb,
        recording_path -> Nullable<Text>,
        owner_node -> Nullable<Uuid>,
        owner_epoch -> Int8,
        lease_expire_time -> Nullable<Timestamptz>,
        lease_ms -> Nullable<Int4>,
        metadata -> Jsonb,
        labels -> Jsonb,
        from_number -> Nullable<Text>,
        to_number -> Nullable<Text>,
        etag -> Text,
        usage -> Nullable<Jsonb>,
        cost -> Nullable<Jsonb>,
        extracted_variables -> Jsonb,
    }
}

diesel::table! {
    journal (call_id, journal_offset) {
        organisation_id -> Uuid,
        call_id -> Uuid,
        journal_offset -> Int8,
        at_us -> Int8,
        kind -> Text,
        payload -> Jsonb,
    }
}

diesel::table! {
    transcript_entries (call_id, sequence) {
        organisation_id -> Uuid,
        call_id -> Uuid,
        sequence -> Int4,
        role -> Text,
        text -> Text,
        unheard_text -> Text,
        start_us -> Int8,
        end_us -> Int8,
        words -> Jsonb,
        words_estimated -> Bool,
        interrupted_us -> Nullable<Int8>,
        typed -> Bool,
        turn_id -> Nullable<Int4>,
        reply_id -> Nullable<Int4>,
    }
}

diesel::table! {
    tool_invocations (id) {
        id -> Uuid,
        organisation_id -> Uuid,
        call_id -> Uuid,
        idempotency_key -> Text,
        tool -> Text,
        arguments -> Jsonb,
        state -> Text,
        result -> Nullable<Jsonb>,
        create_time -> Timestamptz,
        finish_time -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    appointments (id) {
        id -> Uuid,
        organisation_id -> Uuid,
        call_id -> Nullable<Uuid>,
        idempotency_key -> Text,
        customer_name -> Text,
        customer_phone -> Nullable<Text>,
        party_size -> Int4,
        start_time -> Timestamptz,
        end_time -> Timestamptz,
        notes -> Text,
        state -> Text,
        create_time -> Timestamptz,
        etag -> Text,
        update_time -> Timestamptz,
        resource_id -> Nullable<Uuid>,
    }
}

diesel::table! {
    provider_keys (id) {
        id -> Uuid,
        organisation_id -> Uuid,
        vendor -> Text,
        sealed -> Bytea,
        master_key -> Text,
        hint -> Text,
        create_time -> Timestamptz,
    }
}

diesel::table! {
    tool_secrets (id) {
        id -> Uuid,
        organisation_id -> Uuid,
        name -> Text,
        sealed -> Bytea,
        master_key -> Text,
        create_time -> Timestamptz,
        update_time -> Timestamptz,
    }
}

diesel::table! {
    resources (id) {
        id -> Uuid,
        organisation_id -> Uuid,
        display_name -> Text,
        kind -> Text,
        state -> Text,
        position -> Int4,
        etag -> Text,
        create_time -> Timestamptz,
        update_time -> Timestamptz,
    }
}

diesel::table! {
    phone_numbers (organisation_id, id) {
        organisation_id -> Uuid,
        id -> Text,
        display_name -> Text,
        state -> Text,
        inbound_agent_id -> Nullable<Text>,
        outbound_agent_id -> Nullable<Text>,
        etag -> Text,
        create_time -> Timestamptz,
        update_time -> Timestamptz,
    }
}

diesel::table! {
    call_commands (id) {
        id -> Uuid,
        organisation_id -> Uuid,
        call_id -> Uuid,
        command -> Jsonb,
        create_time -> Timestamptz,
        expire_time -> Timestamptz,
        outcome -> Nullable<Text>,
    }
}
