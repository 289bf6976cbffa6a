// As much of JSON as the examples need: a text out of an object that the engine wrote, and a text made ready to go into one. A
// real program has a JSON library.

#ifndef EXAMPLES_JSON_H
#define EXAMPLES_JSON_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Undoes the escape that begins behind a backslash, and moves on behind it; -1 if it is none. The engine escapes nothing beyond
// ASCII, so a greater `\u` is refused.
static inline int json_unescape(const char **from) {
    static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char *known = **from == 0 ? NULL : strchr(escapes, **from);
    if (known != NULL) {
        (*from)++;
        return meant[known - escapes];
    }
    unsigned value = 0;
    int read = 0;
    if (sscanf(*from, "u%4x%n", &value, &read) != 1 || read != 5 || value >= 0x80) {
        return -1;
    }
    *from += read;
    return (int)value;
}

// The text of the member `name` of an object without spaces, in which no inner object has a member of that name. The text ends
// with NUL and is the caller's to free; NULL if it is not there or not well-formed. `json` ends with NUL.
static inline char *json_text(const char *json, const char *name) {
    char key[64];
    snprintf(key, sizeof key, "\"%s\":\"", name);
    // Inside a text the quotes of the key would be escaped, so it is not found there.
    const char *from = strstr(json, key);
    char *text = from == NULL ? NULL : (char *)malloc(strlen(from)), *to = text;
    if (text == NULL) {
        return NULL;
    }
    for (from += strlen(key); *from != '"';) {
        int c = (unsigned char)*from++;
        if (c == '\\') {
            c = json_unescape(&from);
        }
        if (c <= 0) {
            free(text);
            return NULL;
        }
        *to++ = (char)c;
    }
    *to = 0;
    return text;
}

// A text in quotes, with its escapes; the caller's to free. NULL without memory.
static inline char *json_quoted(const char *text) {
    char *quoted = (char *)malloc(strlen(text) * 6 + 3), *to = quoted;
    if (quoted == NULL) {
        return NULL;
    }
    *to++ = '"';
    for (; *text != 0; text++) {
        if ((unsigned char)*text < 0x20) {
            to += snprintf(to, 7, "\\u%04x", (unsigned)*text);
            continue;
        }
        if (*text == '"' || *text == '\\') {
            *to++ = '\\';
        }
        *to++ = *text;
    }
    *to++ = '"';
    *to = 0;
    return quoted;
}

#endif  // EXAMPLES_JSON_H
