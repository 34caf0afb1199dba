declare module "*.css";
/** Where the file is served. */
declare module "*.wasm" {
  const url: string;
  export default url;
}
