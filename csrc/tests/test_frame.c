/* What tasks under way need, used again by one after the other. */
#include "agent/frame.h"

#include "client/engine.h"
#include "opf_test.h"

#define LARGE (1U << 20)

static opf_buf *buffer(opf_frame *frame, int i)
{
    opf_buf *all[] = {&frame->caught.name, &frame->caught.url, &frame->caught.text,
                      &frame->plain.name,  &frame->plain.url,  &frame->plain.text,
                      &frame->url,         &frame->host};
    return i < (int)(sizeof(all) / sizeof(*all)) ? all[i] : NULL;
}

TEST(a_spare_frame_keeps_no_large_buffer)
{
    opf_plan plan = {.n_registers = 1};
    opf_crew crew;
    opf_engine *engine = opf_engine_new(NULL);
    CHECK_EQ_INT(opf_crew_init(&crew, engine), 0);
    opf_frame *frame = opf_frame_take(&crew, &plan);
    for (int i = 0; buffer(frame, i); i++)
        CHECK_EQ_INT(opf_buf_reserve(buffer(frame, i), LARGE), 0);
    opf_frame_give(&crew, frame);
    frame = opf_frame_take(&crew, &plan);
    for (int i = 0; buffer(frame, i); i++)
        CHECK(buffer(frame, i)->cap < LARGE);
    opf_frame_give(&crew, frame);
    opf_crew_fini(&crew);
    opf_engine_free(engine);
}

/* A plan may say so, though no recorded one does. */
TEST(a_failure_without_a_request)
{
    opf_plan plan = {.n_registers = 1};
    opf_crew crew;
    opf_engine *engine = opf_engine_new(NULL);
    CHECK_EQ_INT(opf_crew_init(&crew, engine), 0);
    opf_frame *frame = opf_frame_take(&crew, &plan);
    CHECK_EQ_INT(opf_buf_reserve(&frame->url, LARGE), 0);
    CHECK_EQ_INT(opf_buf_append_str(&frame->url, "http://h"), 0);
    frame->place_len = 8;
    opf_frame_give(&crew, frame);
    frame = opf_frame_take(&crew, &plan);
    CHECK_EQ_INT(opf_asked_fail(frame, &frame->caught, OPF_FAULT_USER, "no", 2), 0);
    CHECK_STR(frame->caught.failure.url, "");
    opf_frame_give(&crew, frame);
    opf_crew_fini(&crew);
    opf_engine_free(engine);
}

OPF_TEST_MAIN
