-- SHA-1 (FIPS 180-4), which PostgreSQL has no function for without an extension. Only used for Airflow's retry jitter,
-- where compatibility and not security is the point.
-- Locks: none. Callers: retry_delay.
create or replace function leoflow_core.sha1(p_data bytea) returns bytea language plpgsql immutable strict as $$
declare
    v_mask constant bigint := 4294967295;
    v_length int := length(p_data);
    v_message bytea;
    h0 bigint := 1732584193;
    h1 bigint := 4023233417;
    h2 bigint := 2562383102;
    h3 bigint := 271733878;
    h4 bigint := 3285377520;
    a bigint; b bigint; c bigint; d bigint; e bigint; f bigint; k bigint; x bigint;
    w bigint[];
    o int;
begin
    v_message := p_data || '\x80'::bytea
        || decode(repeat('00', (119 - v_length % 64) % 64), 'hex') || int8send(v_length::bigint * 8);
    for block in 0 .. length(v_message) / 64 - 1 loop
        w := array_fill(0::bigint, array[80]);
        for i in 0 .. 15 loop
            o := block * 64 + i * 4;
            w[i + 1] := (get_byte(v_message, o)::bigint << 24) | (get_byte(v_message, o + 1)::bigint << 16)
                | (get_byte(v_message, o + 2)::bigint << 8) | get_byte(v_message, o + 3);
        end loop;
        for i in 16 .. 79 loop
            x := w[i - 2] # w[i - 7] # w[i - 13] # w[i - 15];
            w[i + 1] := ((x << 1) | (x >> 31)) & v_mask;
        end loop;
        a := h0; b := h1; c := h2; d := h3; e := h4;
        for i in 0 .. 79 loop
            if i < 20 then
                f := (b & c) | ((~b & v_mask) & d); k := 1518500249;
            elsif i < 40 then
                f := b # c # d; k := 1859775393;
            elsif i < 60 then
                f := (b & c) | (b & d) | (c & d); k := 2400959708;
            else
                f := b # c # d; k := 3395469782;
            end if;
            x := ((((a << 5) | (a >> 27)) & v_mask) + f + e + k + w[i + 1]) & v_mask;
            e := d; d := c; c := ((b << 30) | (b >> 2)) & v_mask; b := a; a := x;
        end loop;
        h0 := (h0 + a) & v_mask; h1 := (h1 + b) & v_mask; h2 := (h2 + c) & v_mask;
        h3 := (h3 + d) & v_mask; h4 := (h4 + e) & v_mask;
    end loop;
    return substring(int8send(h0) from 5) || substring(int8send(h1) from 5) || substring(int8send(h2) from 5)
        || substring(int8send(h3) from 5) || substring(int8send(h4) from 5);
end
$$;
comment on function leoflow_core.sha1(bytea) is 'SHA-1, for Airflow''s retry jitter.';
