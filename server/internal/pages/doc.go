// Package pages runs the commands of the documentation, for tests. In a page
//
//   - a block of "sh" is run, unless a comment before it says why not: <!-- not run: REASON -->. A
//     command behind "! " has to fail. What keeps running, such as a server, ends when the page says
//     "Ctrl-C", or with the page.
//   - a block of "text" directly behind one that ran is output of it. "..." stands for lines left out.
//   - a block of another language is not looked at, and has no commands.
//   - <!-- run in server/interop: TEST --> says which test there runs the page, because it needs more than a server.
//
// The program microservice, which is the example service, is built for the pages that start it. The ports that pages name are replaced by free ones. What a page writes to files that has a secret or a
// token in it must be readable by its reader only.
package pages
