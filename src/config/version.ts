/** The build puts the version of package.json here; sources that run unbuilt have none. */
declare const __TSREMUS_VERSION__: string | undefined;

/** Version of this tsremus, as `tsremus --version` prints it. */
export const version: string =
  typeof __TSREMUS_VERSION__ === 'string' ? __TSREMUS_VERSION__ : 'unbuilt';
