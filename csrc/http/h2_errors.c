#include "http/h2_errors.h"

#include <nghttp2/nghttp2.h>
#include <stddef.h>

const char *opf_h2_code_name(uint32_t code)
{
    static const char *const names[] = {"NO_ERROR",
                                        "PROTOCOL_ERROR",
                                        "INTERNAL_ERROR",
                                        "FLOW_CONTROL_ERROR",
                                        "SETTINGS_TIMEOUT",
                                        "STREAM_CLOSED",
                                        "FRAME_SIZE_ERROR",
                                        "REFUSED_STREAM",
                                        "CANCEL",
                                        "COMPRESSION_ERROR",
                                        "CONNECT_ERROR",
                                        "ENHANCE_YOUR_CALM",
                                        "INADEQUATE_SECURITY",
                                        "HTTP_1_1_REQUIRED"};
    return code < sizeof(names) / sizeof(*names) ? names[code] : "an unknown error code";
}

const char *opf_h2_violation(uint32_t code)
{
    switch (code) {
    case NGHTTP2_FLOW_CONTROL_ERROR:
        return "HTTP/2: more data than its window allows";
    case NGHTTP2_COMPRESSION_ERROR:
        return "HTTP/2: headers that can't be decompressed";
    case NGHTTP2_FRAME_SIZE_ERROR:
        return "HTTP/2: a frame of a wrong size";
    case NGHTTP2_STREAM_CLOSED:
        return "HTTP/2: a frame on a closed stream";
    case NGHTTP2_INTERNAL_ERROR:
        return "HTTP/2: what it sent can't be handled";
    default:
        return "HTTP/2: a frame that breaks the protocol";
    }
}

/* NGHTTP2_ERR_TOO_MANY_CONTINUATIONS, which older headers have not. */
#define TOO_MANY_CONTINUATIONS (-905)

const char *opf_h2_objection(int error)
{
    switch (error) {
    case NGHTTP2_ERR_HTTP_HEADER:
        return "HTTP/2: an invalid header field";
    case NGHTTP2_ERR_HTTP_MESSAGING:
        return "HTTP/2: a malformed response";
    case NGHTTP2_ERR_HEADER_COMP:
        return opf_h2_violation(NGHTTP2_COMPRESSION_ERROR);
    case NGHTTP2_ERR_FLOW_CONTROL:
        return opf_h2_violation(NGHTTP2_FLOW_CONTROL_ERROR);
    case NGHTTP2_ERR_STREAM_CLOSED:
        return opf_h2_violation(NGHTTP2_STREAM_CLOSED);
    case NGHTTP2_ERR_FRAME_SIZE_ERROR:
        return opf_h2_violation(NGHTTP2_FRAME_SIZE_ERROR);
    default:
        return NULL;
    }
}

bool opf_h2_is_flood(int error)
{
    return error == NGHTTP2_ERR_FLOODED || error == NGHTTP2_ERR_TOO_MANY_SETTINGS ||
           error == TOO_MANY_CONTINUATIONS;
}

const char *opf_h2_flood(uint8_t type)
{
    switch (type) {
    case NGHTTP2_DATA:
        return "HTTP/2: a flood of DATA frames";
    case NGHTTP2_HEADERS:
        return "HTTP/2: a flood of HEADERS frames";
    case NGHTTP2_PRIORITY:
        return "HTTP/2: a flood of PRIORITY frames";
    case NGHTTP2_RST_STREAM:
        return "HTTP/2: a flood of RST_STREAM frames";
    case NGHTTP2_SETTINGS:
        return "HTTP/2: a flood of SETTINGS frames";
    case NGHTTP2_PUSH_PROMISE:
        return "HTTP/2: a flood of PUSH_PROMISE frames";
    case NGHTTP2_PING:
        return "HTTP/2: a flood of PING frames";
    case NGHTTP2_GOAWAY:
        return "HTTP/2: a flood of GOAWAY frames";
    case NGHTTP2_WINDOW_UPDATE:
        return "HTTP/2: a flood of WINDOW_UPDATE frames";
    case NGHTTP2_CONTINUATION:
        return "HTTP/2: a flood of CONTINUATION frames";
    default:
        return "HTTP/2: a flood of frames of an unknown type";
    }
}
