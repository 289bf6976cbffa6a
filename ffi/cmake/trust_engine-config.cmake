# Finds the installed library of trust-engine from the place of this file, wherever the prefix was moved to. The file is in
# prefix/lib/cmake/trust_engine, in prefix/lib/x86_64-linux-gnu/cmake/trust_engine, or in prefix/share/cmake/trust_engine.
#
#   find_package(trust_engine 0.1 REQUIRED)
#   target_link_libraries(program PRIVATE trust_engine::trust_engine)          # the shared library
#   target_link_libraries(program PRIVATE trust_engine::trust_engine_static)   # the static one, with the system's libraries
#
# A target is defined if its library is installed. At least one of the two has to be.

# Real, as /lib may be a link to /usr/lib, and /include is not there.
get_filename_component(_trust_engine_here "${CMAKE_CURRENT_LIST_DIR}" REALPATH)

set(_trust_engine_include "")
set(_trust_engine_shared "")
set(_trust_engine_static "")
foreach(_trust_engine_up IN ITEMS "../../.." "../../../..")
    get_filename_component(_trust_engine_prefix "${_trust_engine_here}/${_trust_engine_up}" ABSOLUTE)
    if(NOT _trust_engine_include AND EXISTS "${_trust_engine_prefix}/include/trust_engine.h")
        set(_trust_engine_include "${_trust_engine_prefix}/include")
        # The folder beside this file goes first, so that of two libraries in one prefix each has its own file.
        foreach(_trust_engine_folder IN ITEMS
                "${_trust_engine_here}/../.." "${_trust_engine_prefix}/lib/${CMAKE_LIBRARY_ARCHITECTURE}"
                "${_trust_engine_prefix}/lib" "${_trust_engine_prefix}/lib64")
            get_filename_component(_trust_engine_folder "${_trust_engine_folder}" ABSOLUTE)
            set(_trust_engine_name "${_trust_engine_folder}/libtrust_engine")
            if(NOT _trust_engine_shared AND NOT _trust_engine_static)
                if(EXISTS "${_trust_engine_name}${CMAKE_SHARED_LIBRARY_SUFFIX}")
                    set(_trust_engine_shared "${_trust_engine_name}${CMAKE_SHARED_LIBRARY_SUFFIX}")
                endif()
                if(EXISTS "${_trust_engine_name}.a")
                    set(_trust_engine_static "${_trust_engine_name}.a")
                endif()
            endif()
        endforeach()
    endif()
endforeach()

set(trust_engine_FOUND TRUE)
if(NOT _trust_engine_include)
    set(trust_engine_FOUND FALSE)
    set(trust_engine_NOT_FOUND_MESSAGE "include/trust_engine.h is not in the prefix of ${_trust_engine_here}")
elseif(NOT _trust_engine_shared AND NOT _trust_engine_static)
    set(trust_engine_FOUND FALSE)
    set(trust_engine_NOT_FOUND_MESSAGE "libtrust_engine is not in the prefix of ${_trust_engine_here}")
endif()

if(trust_engine_FOUND AND _trust_engine_shared AND NOT TARGET trust_engine::trust_engine)
    add_library(trust_engine::trust_engine SHARED IMPORTED)
    set_target_properties(trust_engine::trust_engine PROPERTIES
        IMPORTED_LOCATION "${_trust_engine_shared}"
        INTERFACE_INCLUDE_DIRECTORIES "${_trust_engine_include}")
endif()

if(trust_engine_FOUND AND _trust_engine_static AND NOT TARGET trust_engine::trust_engine_static)
    add_library(trust_engine::trust_engine_static STATIC IMPORTED)
    set_target_properties(trust_engine::trust_engine_static PROPERTIES
        IMPORTED_LOCATION "${_trust_engine_static}"
        IMPORTED_LINK_INTERFACE_LANGUAGES "C"
        INTERFACE_INCLUDE_DIRECTORIES "${_trust_engine_include}")
    # The libraries that Rust's standard library needs on Linux.
    if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
        set_target_properties(trust_engine::trust_engine_static PROPERTIES INTERFACE_LINK_LIBRARIES "pthread;dl;m")
    endif()
endif()

unset(_trust_engine_folder)
unset(_trust_engine_here)
unset(_trust_engine_include)
unset(_trust_engine_name)
unset(_trust_engine_prefix)
unset(_trust_engine_shared)
unset(_trust_engine_static)
unset(_trust_engine_up)
