#include "http/h2_patience.h"

#include <string.h>

#include "base/clock.h"

void opf_h2_patience_renew(opf_h2_patience *patience, uint64_t now)
{
    if (now - patience->since < OPF_NS_PER_S)
        return;
    patience->since = now;
    opf_h2_patience_restore(patience);
}

void opf_h2_patience_restore(opf_h2_patience *patience)
{
    if (patience->left < OPF_H2_PATIENCE)
        patience->left = OPF_H2_PATIENCE;
}

void opf_h2_patience_grant(opf_h2_patience *patience, uint64_t frames)
{
    patience->left += frames;
}

/* Takes note of a head that is whole. */
static void note_head(opf_h2_patience *patience, const uint8_t *head)
{
    patience->payload = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
    patience->type = head[3];
    patience->head_len = 0;
}

/* Takes in what there is of a head. Returns the number of its bytes. */
static size_t take_head(opf_h2_patience *patience, const uint8_t *data, size_t len)
{
    size_t at = patience->head_len,
           n = len < sizeof(patience->head) - at ? len : sizeof(patience->head) - at;
    memcpy(patience->head + at, data, n);
    patience->head_len = (uint8_t)(at + n);
    return n;
}

uint64_t opf_h2_patience_cost(opf_h2_patience *patience, const uint8_t *data, size_t len)
{
    uint64_t frames = 0;
    size_t at = 0;
    while (at < len) {
        size_t skipped = patience->payload < len - at ? patience->payload : len - at;
        patience->payload -= skipped;
        at += skipped;
        if (at == len)
            break;
        if (!patience->head_len && len - at >= sizeof(patience->head)) { /* as nearly always */
            note_head(patience, data + at);
            at += sizeof(patience->head);
            frames++;
            continue;
        }
        at += take_head(patience, data + at, len - at);
        if (patience->head_len == sizeof(patience->head)) {
            note_head(patience, patience->head);
            frames++;
        }
    }
    return frames + len / OPF_H2_PATIENCE_BYTES;
}

bool opf_h2_patience_spend(opf_h2_patience *patience, uint64_t cost)
{
    if (cost > patience->left)
        return false;
    patience->left -= cost;
    return true;
}
