# What `cmake --install` puts where, and the Debian package made of it by CPack
# (scripts/release): program, library, header, man pages, units. One package, so that a
# client machine needs one .deb.
include(GNUInstallDirs)

# libwitan.so: the participant API of common/include/witan/witan.h and nothing else; all
# other symbols are hidden.
add_library(libwitan SHARED client/shell/participant.c)
target_include_directories(libwitan PUBLIC
    "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/common/include>")
target_link_libraries(libwitan PRIVATE witan_options witan_client_shell)
set_target_properties(libwitan PROPERTIES OUTPUT_NAME witan SOVERSION 0
    VERSION "${PROJECT_VERSION}" LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}")
install(TARGETS libwitan LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(DIRECTORY common/include/witan DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
configure_file(cmake/witan.pc.in witan.pc @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/witan.pc"
    DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
install(FILES examples/participant.c DESTINATION "${CMAKE_INSTALL_DOCDIR}/examples")

file(GLOB_RECURSE manuals CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/docs/man/*.1")
install(FILES ${manuals} DESTINATION "${CMAKE_INSTALL_MANDIR}/man1")
install(FILES README.md CHANGELOG.md LICENSE SECURITY.md docs/deploy.md docs/threat-model.md
    docs/config.md docs/protocol.md DESTINATION "${CMAKE_INSTALL_DOCDIR}")
install(FILES coordinator/witan-coordinator.service client/witan-client@.service
    DESTINATION lib/systemd/system)
install(FILES cmake/debian/witan.sysusers DESTINATION lib/sysusers.d RENAME witan.conf)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME witan)
set(CPACK_PACKAGE_VERSION "${PROJECT_VERSION}")
set(CPACK_PACKAGE_CONTACT "the witan maintainers <maintainers@witan.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "federated knowledge distillation")
set(CPACK_PACKAGE_DESCRIPTION "Models that may not share data or weights learn from each other by
exchanging soft labels on a public transfer set: a simulator, a coordinator and a client,
encrypted and authenticated without a certificate authority.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "adduser | systemd")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA "${PROJECT_SOURCE_DIR}/cmake/debian/postinst"
    "${PROJECT_SOURCE_DIR}/cmake/debian/prerm" "${PROJECT_SOURCE_DIR}/cmake/debian/postrm")
set(CPACK_STRIP_FILES ON)
include(CPack)
