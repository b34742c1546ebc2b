#include "agent/eval.h"

#include <math.h>
#include <stdio.h>

#include "agent/eval_own.h"
#include "base/mem.h"

static const opf_value unset = {.kind = OPF_UNSET};

int opf_slot_set(opf_value *slot, const opf_value *value)
{
    opf_value copy = *value;
    if (opf_has_bytes(value)) {
        char *bytes = opf_mem_alloc(value->len ? value->len : 1);
        if (!bytes)
            return OPF_ENOMEM;
        if (value->len)
            memcpy(bytes, value->s, value->len);
        copy.s = bytes;
    }
    opf_slot_clear(slot);
    *slot = copy;
    return 0;
}

void opf_slot_clear(opf_value *slot)
{
    if (opf_has_bytes(slot))
        opf_mem_free((void *)(uintptr_t)slot->s);
    *slot = unset;
}

const opf_value *opf_eval_operand(const opf_eval *eval, opf_operand operand)
{
    if (operand < 0)
        return &eval->plan->constants[~operand];
    uint32_t n_slots = eval->plan->n_slots, i = (uint32_t)operand;
    return i < n_slots ? &eval->slots[i] : &eval->registers[i - n_slots];
}

void opf_eval_unset(opf_eval *eval, uint32_t dst)
{
    if (dst < eval->plan->n_slots)
        opf_slot_clear(&eval->slots[dst]);
    else
        eval->registers[dst - eval->plan->n_slots] = unset;
}

/* A slot's bytes go when it is set anew. */
static bool is_slots(const opf_eval *eval, const char *s)
{
    for (uint32_t i = 0; i < eval->plan->n_slots; i++) {
        const opf_value *slot = &eval->slots[i];
        if (opf_has_bytes(slot) && (uintptr_t)s >= (uintptr_t)slot->s &&
            (uintptr_t)s <= (uintptr_t)slot->s + slot->len)
            return true;
    }
    return false;
}

int opf_eval_put(opf_eval *eval, uint32_t dst, const opf_value *value)
{
    if (dst < eval->plan->n_slots)
        return opf_slot_set(&eval->slots[dst], value);
    opf_value *to = &eval->registers[dst - eval->plan->n_slots];
    if (opf_has_bytes(value) && is_slots(eval, value->s))
        return opf_eval_put_copy(eval, dst, value);
    *to = *value;
    return 0;
}

int opf_eval_put_copy(opf_eval *eval, uint32_t dst, const opf_value *value)
{
    opf_value copy = *value;
    if (dst >= eval->plan->n_slots && opf_has_bytes(value)) {
        char *bytes = opf_arena_alloc(eval->arena, value->len);
        if (!bytes)
            return OPF_ENOMEM;
        if (value->len)
            memcpy(bytes, value->s, value->len);
        copy.s = bytes;
        eval->registers[dst - eval->plan->n_slots] = copy;
        return 0;
    }
    return opf_eval_put(eval, dst, value);
}

int opf_eval_put_text(opf_eval *eval, uint32_t dst, const void *s, size_t len)
{
    if (len > UINT32_MAX)
        return OPF_ENOMEM;
    opf_value value = {.kind = OPF_TEXT, .len = (uint32_t)len, .s = len ? s : ""};
    return opf_eval_put_copy(eval, dst, &value);
}

int opf_eval_put_int(opf_eval *eval, uint32_t dst, int64_t i)
{
    return opf_eval_put(eval, dst, &(opf_value){.kind = OPF_INT, .i = i});
}

int opf_eval_put_float(opf_eval *eval, uint32_t dst, double f)
{
    return opf_eval_put(eval, dst, &(opf_value){.kind = OPF_FLOAT, .f = f});
}

int opf_eval_put_bool(opf_eval *eval, uint32_t dst, bool b)
{
    return opf_eval_put(eval, dst, &(opf_value){.kind = OPF_BOOL, .b = b});
}

int opf_eval_refuse(opf_eval *eval, const char *why)
{
    eval->why = why;
    return OPF_EINVAL;
}

const char *opf_eval_type(const opf_value *value)
{
    static const char *const names[] = {
        [OPF_UNSET] = "",      [OPF_NONE] = "NoneType", [OPF_BOOL] = "bool", [OPF_INT] = "int",
        [OPF_FLOAT] = "float", [OPF_TEXT] = "str",      [OPF_JSON] = "list"};
    return value->kind == OPF_JSON && *value->s == '{' ? "dict" : names[value->kind];
}

int opf_eval_no_attribute(opf_eval *eval, const opf_value *value, const char *name)
{
    static const char format[] = "AttributeError: '%s' object has no attribute '%s'";
    size_t size = sizeof(format) + strlen("NoneType") + strlen(name);
    char *text = opf_arena_alloc(eval->arena, size);
    if (!text)
        return OPF_ENOMEM;
    if (value->kind == OPF_UNSET)
        return opf_eval_refuse(eval, "a value that is not there");
    snprintf(text, size, format, opf_eval_type(value), name);
    return opf_eval_refuse(eval, text);
}

/* Whether requests refuses to send a value as JSON. */
static bool is_no_json(const opf_eval *eval, const opf_piece *piece)
{
    if (piece->text || piece->encoding != OPF_AS_JSON || eval->plan->style != OPF_STYLE_HTTP)
        return false;
    const opf_value *value = opf_eval_operand(eval, piece->value);
    return value->kind == OPF_FLOAT && !isfinite(value->f);
}

int opf_eval_template(opf_eval *eval, const opf_template *tmpl, opf_buf *out)
{
    for (uint32_t i = 0; i < tmpl->n; i++) {
        const opf_piece *piece = &tmpl->pieces[i];
        if (is_no_json(eval, piece))
            return opf_eval_refuse(eval, "Out of range float values are not JSON compliant");
        int rc = piece->text ? opf_buf_append(out, piece->text, piece->len)
                             : opf_value_write(out, opf_eval_operand(eval, piece->value),
                                               piece->encoding, &piece->format, &eval->why);
        if (rc != 0)
            return rc;
    }
    return 0;
}
